"""The command line, used as a person would."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import polytask
from polytask.agents.config import BRCConfig, SACConfig
from polytask.cli import COMMANDS
from polytask.online.config import SMALL
from polytask.tasks.options import TaskOptions
from polytask.tasks.registry import resolve
from polytask.training import kinds
from polytask.training.config import content_of
from polytask.training.run import _Loop
from tests.small import AGENT, BREAKS, PLANE, POINT, asked, command

# Random actions only: nothing is compiled, so that such a run takes no time.
RANDOM = [*AGENT, "--warmup-steps", "1000", "--checkpoint-every", "60", "--eval-every", "0", "--log-every", "20"]


def contents(run):
    return {
        path.relative_to(run): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in run.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def of_random_actions(tmp_path_factory):
    run = tmp_path_factory.mktemp("random") / "run"
    assert command("train", POINT, *RANDOM, "--steps", "60", "--run", str(run))[0] == 0
    return run


@pytest.fixture
def random_run(of_random_actions, tmp_path):
    shutil.copytree(of_random_actions, tmp_path / "run")
    return tmp_path / "run"


# Help and wrong use


def test_help_is_light_and_fits_80_columns():
    names = ["", *COMMANDS]
    script = (
        "import sys\nfrom polytask.cli import main\n"
        "heavy = 'jax equinox optax envpool gymnasium matplotlib scipy tensorboardX'.split()\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n        main([*filter(None, [name]), '--help'])\n"
        "    except SystemExit as exit_:\n        assert not exit_.code\n"
        "    assert not [m for m in heavy if m in sys.modules], name\n"
        "    print('end of help')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *names],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        check=True,
    )
    *helps, rest = done.stdout.split("end of help\n")
    assert rest == ""
    for name, text in zip(names, helps, strict=True):
        assert text.startswith(f"usage: polytask {name}".rstrip())
        assert not [line for line in text.splitlines() if len(line) > 80 and not line.startswith("usage:")]


@pytest.mark.parametrize("asked", [[], ["sales.csv"], ["problems/multidigits"], ["data:x"]])
def test_help_fits_two_screens_and_names_options_that_there_are(asked, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, short, _ = command("train", *asked, "--help")
    assert code == 0
    assert len(short.splitlines()) <= 48
    full = command("train", *asked, "--help-all")[1]
    for flag in re.findall(r"--[a-z.-]+", short.replace("--help-all", "").replace("--help", "")):
        known = (flag, f"--task.{flag[2:]}", f"--agent.{flag[2:]}")
        assert any(re.search(rf"{re.escape(name)}\b", full) for name in known), flag


def test_version():
    assert command("--version") == (0, f"polytask {polytask.__version__}\n", "")


def test_a_misspelt_command_and_a_misspelt_flag_are_answered_with_the_nearest():
    code, _, err = command("trian")
    assert (code, "Did you mean train?" in err) == (2, True)
    code, out, err = command("train", POINT, "--agent.critic-widht", "64")
    assert (code, "--agent.critic-width" in out + err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "metaworld/rech-v3"], "Did you mean metaworld/reach-v3"),
        (["train", "gym/nowhere:env"], "No module named 'nowhere'"),
        (["train", POINT, "--agent.kind", "ppo"], "--agent.kind: there is no agent 'ppo': there are brc, sac, dqn"),
        (["train", POINT, "--checkpoint-every", "10"], "set --checkpoint-every to at least 20"),
        (["train", POINT, POINT], "name each task once"),
        (["tasks", "nothing-like-it"], "no task matches"),
        (["report"], "at least one run folder"),
    ],
)
def test_a_wrong_use_is_one_message_and_exit_code_2(arguments, said):
    code, _, err = command(*arguments)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert err.count("error:") == 1


def test_the_traceback_comes_when_asked_for(monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "1")
    with pytest.raises(ValueError, match="unknown task"):
        command("train", "metaworld/rech-v3")


def test_what_polytask_did_not_word_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("polytask.tasks.registry.catalogue", lambda pattern: json.loads("{"))
    with pytest.raises(json.JSONDecodeError):
        command("tasks")


# Flags


def test_values_given_win_over_the_preset_s():
    config, run = asked("metaworld/mt10", "--preset", "paper", "--agent.critic-width", "512", "--steps", "9")
    assert config.agent == BRCConfig(critic_width=512, batch_size=1024)
    assert (config.steps, config.tasks) == (9, ("metaworld/mt10",))
    assert str(run) == "runs/metaworld-mt10-brc-paper-seed0"


def test_without_a_task_a_first_look():
    config, run = asked("--seed", "3")
    assert set(config.tasks) < set(resolve(["metaworld/mt10"]).names)
    assert config.steps < 20_000
    assert config.agent == BRCConfig(**SMALL)
    assert run.name.endswith("window-close-v3-brc-quick-seed3")


def test_with_a_task_the_preset_is_cpu():
    config, run = asked("dmc/cheetah-run", "gym/my.module:make", "--run=here")
    assert (config.agent, config.steps, str(run)) == (BRCConfig(**SMALL), 100_000, "here")
    assert (config.task.discount, config.task_sampling) == ("by-horizon", "unsolved")


def test_the_baseline_has_fields_of_its_own():
    config, run = asked("metaworld/mt10", "--agent.kind", "sac", "--agent.width", "64")
    assert (config.agent, config.task, config.task_sampling) == (SACConfig(width=64), TaskOptions(), "uniform")
    assert str(run) == "runs/metaworld-mt10-sac-seed0"


def test_a_task_weighted_critic_takes_weights_and_finds_them_again():
    weights = ("metaworld/reach-v3=2", "metaworld/push-v3=0.5")
    flags = ["--agent.critic-loss", "task-weighted", "--agent.relevance", *weights]
    config = asked("metaworld/mt10", *flags)[0]
    assert config.agent == BRCConfig(**SMALL, critic_loss="task-weighted", relevance=weights)
    content = json.loads(json.dumps(content_of("online", config, {"specs": []})))
    assert kinds.config_of(content) == config
    code, _, err = command("train", "metaworld/mt10", "--agent.relevance", weights[0])
    assert code == 2
    assert "give both, or neither" in err


def test_only_the_official_sizes_evaluate_the_last_weights():
    presets = ("cpu", "quick", "paper")
    windows = [asked("--preset", name, "metaworld/mt10")[0].policy_average for name in presets]
    assert windows == [1_000, 1_000, 0]
    code, _, err = command("train", "metaworld/mt10", "--policy-average", "-1")
    assert code == 2
    assert "--policy-average must be at least 0" in err


def test_task_options_with_and_without_their_prefix():
    for flags in (["--goals", "fixed", "--horizon=50"], ["--task.goals=fixed", "--task.horizon", "50"]):
        task = asked("metaworld/mt10", *flags)[0].task
        assert (task.goals, task.horizon) == ("fixed", 50)


def test_one_flag_sets_both_combiners_and_names_the_folder():
    for flags in (["--combine", "pcgrad"], ["--combine=pcgrad"]):
        config, run = asked(*flags, "metaworld/mt10", "--seed", "1")
        assert (config.agent.critic_combiner, config.agent.actor_combiner) == ("pcgrad", "pcgrad")
        assert config.task_sampling == "uniform"
        assert str(run) == "runs/metaworld-mt10-brc-pcgrad-seed1"
    run = asked("metaworld/mt10", "--combine", "cagrad:c=0.4")[1]
    assert str(run) == "runs/metaworld-mt10-brc-cagrad-c=0.4-seed0"
    config, run = asked("metaworld/mt10", "--agent.critic-combiner", "mgda")
    assert (config.agent.actor_combiner, str(run)) == ("none", "runs/metaworld-mt10-brc-mgda+none-seed0")


def test_the_default_folder_stays_short():
    names = ["dmc/cheetah-run", "dmc/walker-walk", "gym/my.module:make", "gym/Pendulum-v1"]
    assert str(asked(*names)[1]) == "runs/dmc-cheetah-run+dmc-walker-walk+2-more-brc-seed0"


# Training


def test_a_training_shows_what_it_trains_and_ends_with_a_table_and_a_report(trained):
    run, code, out, err = trained
    assert (code, err) == (0, "")
    facts = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith("gym/")}
    assert facts == {POINT: ["2", "1", "20", "success", "serial"], PLANE: ["3", "2", "20", "return", "serial"]}
    assert "critic_width=16" in out
    assert "step 120/120" in out
    assert "2 tasks at 120 steps per task" in out
    assert out.rstrip().endswith(f"report  {run}/report.html\nrun     {run}")
    assert (run / "report.html").stat().st_size > 10_000
    assert len((run / "evaluations.jsonl").read_text().splitlines()) == 2
    assert [path.name for path in sorted((run / "checkpoints").iterdir())] == ["step_000000060", "step_000000120"]


def test_alike_tasks_share_a_line(tmp_path):
    _, out, _ = command(
        "train", POINT, "gym/tests.small:breaks", *RANDOM, "--steps", "20", "--run", str(tmp_path / "a")
    )
    assert "2 tasks of gym" in out


def test_the_same_command_again_goes_on(random_run):
    code, out, _ = command("train", POINT, *RANDOM, "--steps", "100", "--run", str(random_run))
    assert code == 0
    assert "going on from step 60" in out
    assert "step 100/100" in out
    lines = (random_run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [20, 40, 60, 80, 100]


def test_another_command_in_the_same_folder_is_refused_and_says_what_differs(random_run):
    before = contents(random_run)
    code, _, err = command("train", POINT, *RANDOM, "--seed", "1", "--steps", "60", "--run", str(random_run))
    assert code == 1
    assert "seed: 0 in the run, 1 now" in err
    assert f"polytask resume {random_run}" in err
    assert contents(random_run) == before


def test_resume_goes_on_and_changes_only_what_is_given(random_run):
    code, out, _ = command("resume", str(random_run), "--steps", "80")
    assert code == 0
    assert "going on from step 60" in out
    config = json.loads((random_run / "config.json").read_text())
    assert (config["steps"], config["eval_every"], config["log_every"]) == (80, 0, 20)


def test_a_run_from_before_a_setting_existed_goes_on(random_run):
    file = random_run / "config.json"
    config = json.loads(file.read_text())
    del config["agent"]["critic_combiner"], config["affinity_every"]
    file.write_text(json.dumps(config))
    assert command("resume", str(random_run), "--steps", "80")[0] == 0
    assert json.loads(file.read_text())["agent"]["critic_combiner"] == "none"


def test_resume_refuses_what_may_not_change(random_run):
    code, out, err = command("resume", str(random_run), "--seed", "3")
    assert code == 2
    assert "--seed" in out + err


def test_ctrl_c_saves_a_checkpoint_and_says_how_to_go_on(tmp_path, monkeypatch):
    run = tmp_path / "a run"
    tick = _Loop.tick

    def press(loop, step):
        if step == 33:
            signal.raise_signal(signal.SIGINT)
        return tick(loop, step)

    monkeypatch.setattr(_Loop, "tick", press)
    code, out, err = command("train", POINT, *RANDOM, "--steps", "90", "--run", str(run))
    assert code == 130
    assert "stopping after this step" in out
    assert f"polytask resume '{run}'" in err
    assert (run / "checkpoints" / "step_000000033").exists()
    monkeypatch.undo()
    code, out, _ = command("resume", str(run))
    assert (code, "going on from step 33" in out) == (0, True)

    whole = tmp_path / "whole"
    command("train", POINT, *RANDOM, "--steps", "90", "--run", str(whole))
    code, out, _ = command("diff", str(run), str(whole))
    assert (code, "identical" in out) == (0, True)


def test_ctrl_c_twice_stops_at_once(tmp_path):
    script = (
        "import signal, sys, time\nfrom polytask.cli import main\nfrom polytask.training.run import _Loop\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job is begun without it
        "def tick(loop, step):\n"
        "    if step == 75:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "        while signal.getsignal(signal.SIGINT) is not signal.default_int_handler:\n"
        "            time.sleep(0.001)  # or both may be seen as one\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    return loop.stop()\n"
        "_Loop.tick = tick\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    run = tmp_path / "run"
    arguments = [sys.executable, "-c", script, "train", POINT, *RANDOM, "--steps", "90", "--run", str(run)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 130
    assert "without a checkpoint" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step_000000060"]


def test_a_task_that_fails_is_named_with_the_step_and_the_way_on(tmp_path):
    run = tmp_path / "run"
    code, _, err = command("train", BREAKS, *RANDOM, "--steps", "60", "--run", str(run))
    assert code == 1
    assert f"task '{BREAKS}' failed at step 30: its reward is not finite" in err
    assert f"polytask resume {run}" in err
    assert "Traceback" not in err
    assert (run / "checkpoints" / "step_000000029").exists()


def test_what_cannot_be_stepped_as_asked_leaves_no_run_behind(tmp_path):
    code, _, err = command("train", POINT, *RANDOM, "--engine", "envpool", "--run", str(tmp_path / "run"))
    assert (code, "take --engine auto" in err) == (2, True)
    assert not (tmp_path / "run").exists()


# Looking at runs


def test_evaluate_measures_and_leaves_everything_else_alone(trained_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    before = contents(run)
    code, out, _ = command("evaluate", str(run), "--episodes", "4", "--seed", "1")
    assert code == 0
    assert "step 120, 4 episodes of each task" in out
    assert f"written {run}/evaluation.json" in out
    found = json.loads((run / "evaluation.json").read_text())
    assert (found["step"], found["seed"], found["episodes"]) == (120, 1, 4)
    point, plane = found["task"][POINT], found["task"][PLANE]
    assert point["score"] == point["success"]
    assert point["success"]["low"] < point["success"]["high"]
    assert plane["success"] is None
    assert plane["score"] is None
    assert plane["return"]["low"] <= plane["return"]["value"] <= plane["return"]["high"] < 0
    assert plane["episodes"]["length"] == [20] * 4
    after = contents(run)
    assert {name for name in after if after[name] != before.get(name)} == {(run / "evaluation.json").relative_to(run)}

    command("evaluate", str(run), "--episodes", "4", "--seed", "1")
    assert json.loads((run / "evaluation.json").read_text()) == found
    command("evaluate", str(run), "--episodes", "4", "--seed", "2")
    assert json.loads((run / "evaluation.json").read_text())["task"] != found["task"]


def test_evaluate_needs_no_replay(trained_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run, ignore=shutil.ignore_patterns("replay"))
    assert command("evaluate", str(run), "--episodes", "1")[0] == 0


def test_a_report_of_one_run_lies_in_it_and_one_of_several_here(trained_run, tmp_path, monkeypatch):
    for name in ("a", "b"):
        shutil.copytree(trained_run, tmp_path / name, ignore=shutil.ignore_patterns("report.html", "replay"))
    monkeypatch.chdir(tmp_path)
    assert command("report", "a")[0] == 0
    assert (tmp_path / "a" / "report.html").exists()
    code, out, _ = command("report", "a", "b")
    assert (code, "report  report.html" in out) == (0, True)
    assert (tmp_path / "report.html").exists()
    command("report", "a", "--out", "c.html")
    assert (tmp_path / "c.html").exists()


def test_tasks_are_listed_in_80_columns():
    code, out, _ = command("tasks")
    assert code == 0
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "metaworld/mt10" in out
    lines = [line.split() for line in command("tasks", "metaworld/mt10")[1].splitlines()]
    assert len(lines) == 11
    assert lines[1] == ["metaworld/reach-v3", "39", "4", "200", "success", "envpool", "varying,", "v2"]


def test_diff_is_0_only_for_the_same(trained_run):
    one, other = sorted((trained_run / "checkpoints").iterdir())
    assert command("diff", str(trained_run), str(other))[0] == 0
    code, out, _ = command("diff", str(one), str(other))
    assert code == 1
    assert "leaves differ" in out


@pytest.mark.parametrize("arguments", [["evaluate", "nowhere"], ["resume", "nowhere"], ["diff", "nowhere", "nowhere"]])
def test_what_is_no_run_is_said_to_be_none(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = command(*arguments)
    assert code == 1
    assert "nowhere" in err
    assert "Traceback" not in err


def test_the_commands_of_the_page_are_understood():
    page = (Path(__file__).parents[1] / "docs" / "command-line.md").read_text()
    lines = [line for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    given = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("polytask ")]
    assert {words[0] for words in given} == set(COMMANDS) - {"tasks", "bench"}
    for words in given:
        if words[0] == "train":
            kinds.asked(words[1:]).parse(words[1:])
