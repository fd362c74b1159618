"""One agent for each group of tasks."""

import json

import pytest

from tests.small import AGENT, EVERY, PLANE, POINT, command


def write(file, *groups):
    file.write_text(json.dumps({"groups": [{"tasks": tasks, "serves": serves} for tasks, serves in groups]}))
    return str(file)


@pytest.mark.slow
def test_each_task_is_reported_from_the_group_that_serves_it(tmp_path):
    file, run = write(tmp_path / "groups.json", ([POINT], [POINT]), ([POINT, PLANE], [PLANE])), tmp_path / "run"
    weights = ["--agent.critic-loss", "task-weighted", "--agent.relevance", f"{PLANE}=2"]
    flags = [*AGENT, *weights, *EVERY, "--steps", "60", "--groups", file, "--run", str(run)]
    code, out, err = command("train", *flags, report=True)
    assert (code, err) == (0, "")
    assert "2 tasks at 60 steps per task" in out
    alone, both, joined = (
        json.loads((path / "evaluations.jsonl").read_text().splitlines()[-1])["task"]["return"]
        for path in (run / "group1", run / "group2", run)
    )
    assert joined == {POINT: alone[POINT], PLANE: both[PLANE]}
    report = (run / "report.html").read_text()
    assert f"one model for each group of tasks: {POINT}, {POINT}+{PLANE}" in report
    assert "is missing" not in report
    logged = [json.loads((path / "metrics.jsonl").read_text().splitlines()[-1]) for path in (run / "group1", run)]
    assert set(logged[1]["task"]["episode_return"]) == {POINT, PLANE}
    assert logged[1]["replay_transitions"] > logged[0]["replay_transitions"]
    own = [json.loads((run / name / "config.json").read_text())["agent"]["relevance"] for name in ("group1", "group2")]
    assert own == [[f"{POINT}=1"], [f"{PLANE}=2"]]
    code, out, err = command("train", *flags)  # nothing is left to do
    assert (code, err) == (0, "")
    code, out, err = command("resume", str(run), "--steps", "80")
    assert (code, err) == (0, "")
    assert "2 tasks at 80 steps per task" in out


def test_a_file_that_holds_no_groups_is_refused(tmp_path):
    for file, said in (
        (str(tmp_path / "none.json"), "`polytask group RUN` writes it"),
        (write(tmp_path / "twice.json", ([POINT], [POINT]), ([POINT], [POINT])), "served by one group"),
    ):
        code, _, err = command("train", "--groups", file)
        assert code == 1
        assert said in err


def test_a_task_of_no_group_has_no_relevance_and_nothing_is_trained(tmp_path):
    file, run = write(tmp_path / "groups.json", ([POINT], [POINT])), tmp_path / "run"
    weights = ["--agent.critic-loss", "task-weighted", "--agent.relevance", f"{PLANE}=2"]
    code, _, err = command("train", *AGENT, *EVERY, *weights, "--groups", file, "--run", str(run))
    assert code == 2
    assert f"unknown task '{PLANE}'" in err
    assert not run.exists()


@pytest.mark.slow
def test_groups_of_several_seeds_are_one_program_each(tmp_path):
    file, run = write(tmp_path / "groups.json", ([POINT], [POINT]), ([PLANE], [PLANE])), tmp_path / "run"
    flags = [*AGENT, *EVERY, "--steps", "60", "--groups", file, "--seeds", "2", "--run", str(run)]
    code, _, err = command("train", *flags)
    assert (code, err) == (0, "")
    for seed in ("seed0", "seed1"):
        last = json.loads((run / seed / "evaluations.jsonl").read_text().splitlines()[-1])
        assert list(last["task"]["return"]) == [POINT, PLANE]


def test_groups_of_other_tasks_are_refused(tmp_path):
    code, _, err = command("train", PLANE, "--groups", write(tmp_path / "groups.json", ([POINT], [POINT])))
    assert code == 2
    assert "the groups serve" in err
