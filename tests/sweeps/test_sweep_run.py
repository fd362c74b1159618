"""What is trained, skipped and stopped, with runs that are written rather than trained; and the report on them."""

import csv
import io
import json
import math
from importlib.util import find_spec

import pytest
from rich.console import Console

from polytask.report import sweep as report
from polytask.report import write_report
from polytask.runs.folder import RunFolder
from polytask.sweeps.config import SweepConfig, claim, trials
from polytask.sweeps.progress import SweepProgress
from polytask.sweeps.run import reached, run_sweep, rungs, score_at, survivors
from polytask.sweeps.trial import DONE, STOPPED
from polytask.training.config import content_of
from tests.small import AGENT, POINT, command

TRAIN = " ".join([POINT, *AGENT, "--steps", "90", "--eval-every", "10", "--checkpoint-every", "30"])
FACTS = {"specs": [{"name": POINT, "success": "any-step"}], "layout": {}, "joined": []}


def sweep(over, **more):
    found = SweepConfig(TRAIN, over, **more)
    return found, trials(found)


def score(config, step):
    """Better with tau, a little with the seed, and in time."""
    return config.agent.tau * step / 90 + 0.01 * config.seed


class Trained:
    """Stands for a cluster: writes what a run would, and notes what it was asked for."""

    def __init__(self, outcomes=(), stop_after=99):
        self.asked, self.outcomes, self.stop_after = [], dict(outcomes), stop_after

    def __call__(self, jobs, tick):
        for job in jobs:
            if len(self.asked) >= self.stop_after:
                yield job, STOPPED
                continue
            self.asked.append((job.name, job.config.steps))
            outcome = self.outcomes.get(job.name, DONE)
            if outcome == DONE:
                write(job.run, job.config)
            tick()
            yield job, outcome


def write(run, config):
    """The folder of a run that reached its last step."""
    (run / "checkpoints" / f"step_{config.steps:09d}").mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(json.dumps(content_of("online", config, FACTS)))
    lines = [
        {"step": step, "seconds": 1.0, "task": {"score": {POINT: score(config, step)}, "return": {POINT: [1.0]}}}
        for step in range(config.eval_every, config.steps + 1, config.eval_every)
    ]
    (run / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def trained(found, folder, launch):
    """Trains a sweep with `launch`; what came of it, and the lines of those that ended."""
    claim(folder, found[0])
    ended = []
    outcomes = run_sweep(*found, folder, launch, lambda *line: ended.append(line), lambda: False)
    assert dict(ended) == outcomes
    return outcomes


def test_done_runs_are_skipped_and_new_values_are_trained(tmp_path):
    first, launch = sweep({"seed": ("0", "1")}), Trained()
    assert set(trained(first, tmp_path, launch).values()) == {DONE}
    assert trained(first, tmp_path, launch) == {}
    more = sweep({"seed": ("0", "1", "2")})
    assert list(trained(more, tmp_path, launch)) == ["seed=2"]
    assert launch.asked == [("seed=0", 90), ("seed=1", 90), ("seed=2", 90)]


def test_a_run_that_fails_does_not_stop_the_others_and_is_tried_again(tmp_path):
    found = sweep({"seed": ("0", "1", "2")})
    outcomes = trained(found, tmp_path, Trained({"seed=1": "the disk is full"}))
    assert outcomes == {"seed=0": DONE, "seed=1": "the disk is full", "seed=2": DONE}
    assert trained(found, tmp_path, Trained()) == {"seed=1": DONE}


def test_a_stopped_sweep_goes_on(tmp_path):
    found = sweep({"agent.tau": ("0.1", "0.2", "0.3"), "seed": ("0",)}, halving=3)
    assert list(trained(found, tmp_path, Trained(stop_after=1)).values()) == [DONE, STOPPED, STOPPED]
    assert set(trained(found, tmp_path, Trained()).values()) == {DONE}
    assert [reached(tmp_path / trial.name, 90) for trial in found[1]] == [False, False, True]


def test_what_ended_early_counts_as_done(tmp_path):
    run = tmp_path / "run"
    write(run, trials(SweepConfig(TRAIN, {"seed": ("0",)}))[0].config)
    assert reached(run, 90)
    assert not reached(run, 91)
    (run / "evaluations.jsonl").write_text(json.dumps({"step": 200, "stopped_at": 90, "task": {}}) + "\n")
    assert reached(run, 200)
    assert not reached(tmp_path / "nothing", 1)


def test_halving_trains_the_better_configurations_on(tmp_path):
    found = sweep({"agent.tau": ("0.4", "0.1", "0.3", "0.2"), "seed": ("0", "1")}, halving=2)
    assert rungs(*found) == [30, 50, 90]
    launch = Trained()
    trained(found, tmp_path, launch)
    assert [steps for _, steps in launch.asked] == [30] * 8 + [50] * 4 + [90] * 2
    assert {name for name, steps in launch.asked if steps == 50} == {
        f"agent.tau={tau},seed={seed}" for tau in ("0.4", "0.3") for seed in "01"
    }
    assert {name for name, steps in launch.asked if steps == 90} == {"agent.tau=0.4,seed=0", "agent.tau=0.4,seed=1"}
    assert trained(found, tmp_path, launch) == {}


def test_a_configuration_without_a_score_stops_first_and_one_alone_never(tmp_path):
    _, found = sweep({"agent.tau": ("0.1", "0.2"), "seed": ("0",)})
    write(tmp_path / found[0].name, found[0].config)
    assert math.isnan(score_at(tmp_path / found[1].name, 90))
    assert survivors(found, tmp_path, 90, 2) == found[:1]
    assert survivors(found[:1], tmp_path, 90, 2) == found[:1]
    assert rungs(*sweep({"seed": ("0", "1")}, halving=2)) == [90]


@pytest.mark.parametrize(("over", "message"), [("steps", "equally many steps"), ("eval-every", "equally many steps")])
def test_halving_needs_something_to_compare(over, message):
    found = SweepConfig(TRAIN.replace("--steps 90", "").replace("--eval-every 10", ""), {over: ("30", "60")}, halving=2)
    with pytest.raises(ValueError, match=message):
        rungs(found, trials(found))
    blind = SweepConfig(TRAIN.replace("--eval-every 10", "--eval-every 0"), {"agent.tau": ("0.1", "0.2")}, halving=2)
    with pytest.raises(ValueError, match="makes none"):
        rungs(blind, trials(blind))


def test_plain_lines_say_what_ended_and_how(tmp_path):
    found = sweep({"seed": ("0", "1")})
    claim(tmp_path, found[0])
    out = io.StringIO()
    with SweepProgress(found[1], tmp_path, Console(file=out, width=80)) as progress:
        launch = Trained({"seed=1": "the disk is full"})
        run_sweep(*found, tmp_path, launch, progress.ended, lambda: bool(progress.look()))
    lines = out.getvalue().splitlines()
    assert lines[0] == f"done     seed=0  step 90  score {score(found[1][0].config, 90):.2f}  (1/2)"
    assert lines[1] == "failed   seed=1: the disk is full"
    assert "seed=1.txt" in lines[2]


@pytest.mark.parametrize("height", [6, 40])
def test_the_table_fits_80_columns(tmp_path, height):
    found = sweep({"agent.tau": ("0.1", "0.2", "0.3"), "agent.learning-rate": ("0.00012345", "0.1"), "seed": ("0",)})
    claim(tmp_path, found[0])
    write(tmp_path / found[1][2].name, found[1][2].config)
    console = Console(file=io.StringIO(), width=80, height=height, record=True)
    console.print(SweepProgress(found[1], tmp_path, console))
    lines = console.export_text().splitlines()
    assert lines[0].startswith("1 done  0 trains  5 waits")
    assert "agent.tau=0.2,agent.learning-rate=0.00012345,seed=0" in lines[2]
    assert lines[2].split()[-3:] == ["done", "90/90", "0.20"]
    assert len(lines) <= height
    assert max(map(len, lines)) <= 80


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of two settings and three seeds in which one run failed. Not to be written into but by the report."""
    folder = tmp_path_factory.mktemp("swept") / "sweep"
    over = {"agent.tau": ("0.1", "0.2"), "exploration": ("held", "independent"), "seed": ("0", "1", "2")}
    found = sweep(over)
    trained(found, folder, Trained({"agent.tau=0.1,exploration=held,seed=0": "died"}))
    return folder


def test_main_effects_and_the_best_are_those_that_were_put_in(swept):
    found = report.read_sweep(swept)
    step, effects = report.effects(found)
    assert step == 90
    by_value = {effect.value: effect for effect in effects}
    assert list(by_value) == ["0.1", "0.2", "held", "independent"]
    assert by_value["0.2"].score.value == pytest.approx(0.21)
    assert by_value["0.2"].runs == 6
    assert by_value["0.2"].score.low <= 0.21 <= by_value["0.2"].score.high
    assert by_value["0.2"].score.low >= 0.2
    best = report.ranking(found)
    assert best[0].settings["agent.tau"] == "0.2"
    assert sorted(len(one.runs) for one in best) == [2, 3, 3, 3]
    assert [trial.name for trial in found.unfinished] == ["agent.tau=0.1,exploration=held,seed=0"]


def test_the_report_of_a_sweep_is_tables_a_page_and_a_csv(swept):
    code, out, errors = command("report", str(swept))
    assert (code, errors) == (0, "")
    assert "best configurations" in out
    assert "1 of 12 runs not finished" in out
    assert max(len(line) for line in out.splitlines() if str(swept) not in line) <= 80
    page = (swept / "report.html").read_text()
    assert '<section id="sweep">' in page
    assert "tau=0.2" in page
    with (swept / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert rows[0]["finished"] == "False"
    assert rows[-1]["agent.tau"] == "0.2"
    assert float(rows[-1]["score"]) == pytest.approx(0.22)
    assert float(rows[-1][POINT]) == float(rows[-1]["score"])
    assert (swept / "results.parquet").exists() == (find_spec("pyarrow") is not None)


def test_a_sweep_of_which_nothing_has_begun_says_how_to_begin(tmp_path):
    claim(tmp_path, sweep({"seed": ("0", "1")})[0])
    with pytest.raises(ValueError, match="polytask resume"):
        report.read_sweep(tmp_path)


def test_a_report_of_runs_alone_has_no_section_on_sweeps(swept, tmp_path):
    run = next(path.parent for path in sorted(swept.glob("*/config.json")))
    assert RunFolder(run).exists
    assert 'id="sweep"' not in write_report([run], tmp_path / "report.html").read_text()
