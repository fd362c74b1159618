"""Which runs belong together, what methods are called, and what is compared."""

import json

import numpy as np
import pytest

from polytask.evaluation.statistics import delta_m, interquartile_mean
from polytask.report.data import read_run
from polytask.report.methods import flatten, group_runs
from polytask.report.results import common_ground, compare, final_result


def group(*folders):
    return group_runs([read_run(f) for f in folders])


def test_equal_configs_but_for_the_seed_are_one_method(run_folder):
    (method,) = group(*(run_folder(f"s{i}", seed=i) for i in range(3)))
    assert method.seeds == ("0", "1", "2")
    assert method.scores.shape == (3, 10, 20)
    assert method.label == "this run"


def test_how_a_run_logs_makes_no_other_method(run_folder):
    a, b = run_folder("a"), run_folder("b", seed=1)
    config = json.loads((b / "config.json").read_text())
    (b / "config.json").write_text(json.dumps(config | {"wandb": True, "log_every": 7}))
    assert len(group(a, b)) == 1


def test_methods_are_named_by_what_differs(run_folder):
    methods = group(run_folder("a"), run_folder("b", critic_width=512), run_folder("c", kind="sac", heads=10))
    assert [m.label for m in methods] == [
        "agent.kind=brc, agent.critic_width=256",
        "agent.kind=brc, agent.critic_width=512",
        "agent.kind=sac, agent.critic_width=256",
    ]


def test_the_same_seed_twice_is_one_run(run_folder):
    folder = run_folder("a")
    (method,) = group(folder, run_folder("copy"))
    assert method.seeds == ("0",)
    assert "repeats seed 0" in method.notes[0]
    (again,) = group(folder, folder)
    assert again.notes == ()


def test_scores_stop_where_the_slowest_seed_is(run_folder):
    slow = run_folder("b", seed=1)
    lines = (slow / "evaluations.jsonl").read_text().splitlines(keepends=True)
    (slow / "evaluations.jsonl").write_text("".join(lines[:8]))
    (method,) = group(run_folder("a"), slow)
    assert method.steps[-1] == 40_000
    assert "b is behind" in method.notes[0]


def test_a_seed_without_evaluations_does_not_hide_the_others(run_folder):
    young = run_folder("b", seed=1)
    (young / "evaluations.jsonl").write_text("")
    (method,) = group(run_folder("a"), young)
    assert method.steps.size == 20
    assert np.isnan(method.scores[1]).all()
    assert "b has no evaluation yet" in method.notes[0]


def test_runs_of_one_task_each_are_single_task_training(run_folder, specs):
    folders = [run_folder("multi", specs.dmc())]
    folders += [run_folder(f"{s.name[4:]}-{i}", [s], seed=i) for i in range(2) for s in specs.dmc()]
    multi, single = group(*folders)
    assert (multi.label, single.label) == ("multi-task", "single-task")
    assert single.agents == "single"
    assert single.scores.shape == (2, 4, 20)
    assert np.isfinite(single.scores).all()


def test_comparison_agrees_with_the_statistics(run_folder, specs):
    methods = group(run_folder("multi", specs.dmc()), *(run_folder(s.name[4:], [s]) for s in specs.dmc()))
    step, tasks = common_ground(methods)
    first, second = compare(methods, step, tasks)
    at_end = [m.scores[0, :, -1] for m in methods]
    assert first.iqm.value == pytest.approx(interquartile_mean(at_end[0][None]))
    assert first.delta_m == pytest.approx(delta_m(*at_end))
    assert first.improvement is None
    assert np.isnan(second.delta_m)
    assert second.improvement.value == pytest.approx(np.mean(at_end[1] > at_end[0]))


def test_one_seed_gives_intervals_over_episodes_and_says_so(run_folder, specs):
    (method,) = group(run_folder("a"))
    result = final_result(method, None)
    assert not result.mean.has_interval
    assert all(t.over == "10 episodes" and t.score.has_interval for t in result.tasks)
    (by_return,) = group(run_folder("b", specs.dmc()))
    assert all(t.over == "one seed" and not t.score.has_interval for t in final_result(by_return, None).tasks)


def test_several_seeds_give_intervals_over_seeds(run_folder):
    (method,) = group(*(run_folder(f"s{i}", seed=i) for i in range(3)))
    result = final_result(method, None)
    assert result.mean.has_interval
    assert {t.over for t in result.tasks} == {"3 seeds"}


def test_flatten_numbers_lists_of_objects():
    assert flatten({"a": {"b": 1}, "s": [{"x": 2}], "l": [1, 2]}) == {"a.b": 1, "s.1.x": 2, "l": [1, 2]}
