"""Sets in files: written, read back, named, damaged."""

import gc
import warnings

import numpy as np
import pytest

from polytask.datasets import minari
from polytask.datasets.logged import logged, unit_actions
from polytask.datasets.names import load
from polytask.datasets.record import of_replay
from tests.agents.cases import SMALL
from tests.datasets.test_logged import arrays
from tests.small import PLANE, POINT, command

D4RL = {"terminated": "terminals", "truncated": "timeouts"}


def in_d4rl(full):
    return {D4RL.get(name, name): value for name, value in full.items()}


def assert_same(one, other):
    assert one.spec == other.spec
    for name in ("observations", "actions", "rewards", "terminated", "truncated", "next_observations"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_a_minari_set_comes_back_as_it_was_written(tmp_path):
    full = {**arrays([3, 1, 2], terminated=(1,)), "success": np.array([0, 1, 0, 0, 0, 1], bool)}
    log = logged(full, SMALL, "set")
    folder = minari.write(tmp_path, log, name="small-v0", algorithm="none")
    (again,) = load([f"data:{folder}"])
    assert_same(log, again)
    np.testing.assert_array_equal(again.success, log.success)
    with pytest.raises(FileExistsError, match="is there already"):
        minari.write(tmp_path, log, name="small-v0", algorithm="none")


@pytest.mark.slow
def test_minari_itself_reads_what_was_written_and_polytask_what_minari_wrote(tmp_path, monkeypatch):
    import gymnasium

    package = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    log = logged(arrays([3, 2]), SMALL, "set")
    minari.write(tmp_path, log, name="small-v0", algorithm="none")
    found = package.load_dataset("small-v0")
    assert (found.total_episodes, found.total_steps) == (2, 5)
    np.testing.assert_array_equal(next(iter(found.iterate_episodes())).rewards, log.rewards[:3])

    env = package.DataCollector(gymnasium.make("Pendulum-v1"))
    env.reset(seed=0)
    for _ in range(200):
        env.step(np.array([0.5], np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # which it gives for every fact that is left out
        warnings.simplefilter("ignore", ResourceWarning)  # and for a folder of its own that it leaves to the collector
        env.create_dataset("own/pendulum-v0", author="a", author_email="b", code_permalink="c", algorithm_name="d")
        env.close()
        del env
        gc.collect()
    (own,) = load(["data:own/pendulum-v0"])
    assert (own.spec.name, own.spec.horizon, len(own.rewards)) == ("gym/Pendulum-v1", 200, 200)
    np.testing.assert_allclose(unit_actions(own), 0.25)


@pytest.mark.parametrize("kind", ["npz", "hdf5"])
def test_d4rl_files_come_back_and_name_their_task(tmp_path, kind):
    full = in_d4rl(arrays([3, 2], terminated=(0,)))
    file = tmp_path / f"walks.{kind}"
    if kind == "npz":
        np.savez(file, **full)
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(file, "w") as out:
            for name, value in full.items():
                out[name] = value
            out["infos/qpos"] = np.zeros(5)  # what D4RL has beside, which is not asked for
    (log,) = load([f"data:{file}"])
    assert (log.spec.name, log.simulated, log.spec.horizon) == ("data/walks", False, 3)
    np.testing.assert_array_equal(log.rewards, np.float32(full["rewards"]))
    code, out, _ = command("tasks", f"data:{file}")
    assert code == 0
    assert "No simulator is known of data/walks" in out


def test_a_file_may_name_its_simulator(tmp_path):
    full = in_d4rl(arrays([3]))
    full |= {"observations": np.zeros((3, 2)), "next_observations": np.zeros((3, 2)), "actions": np.ones((3, 1)) * 2}
    np.savez(tmp_path / "walk.npz", **full)
    (log,) = load([f"data:{tmp_path / 'walk.npz'}@{POINT}"])
    assert (log.spec.name, log.simulated) == (POINT, True)
    np.testing.assert_array_equal(unit_actions(log), 1)
    with pytest.raises(ValueError, match=r"observations of 2 numbers, and the task"):
        load([f"data:{tmp_path / 'walk.npz'}@{PLANE}"])


def test_damaged_and_missing_files_are_answered(tmp_path):
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "cut.hdf5").write_bytes(b"\x89HDF\r\n")
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "data" / "metadata.json").write_text("{")
    (tmp_path / "notes.txt").write_text("no set")
    for name in ("cut.npz", "cut.hdf5", "set"):
        with pytest.raises(ValueError, match="can be read"):
            load([f"data:{tmp_path / name}"])
    with pytest.raises(ValueError, match=r"name an \.hdf5"):
        load([f"data:{tmp_path / 'notes.txt'}"])
    with pytest.raises(FileNotFoundError, match="polytask record RUN"):
        load([f"data:{tmp_path / 'nothing'}"])


def test_two_sets_of_one_task_with_other_facts_are_refused(tmp_path):
    import dataclasses

    for name, horizon in (("a", 20), ("b", 30)):
        log = logged(arrays([3]), dataclasses.replace(SMALL, horizon=horizon), "set")
        minari.write(tmp_path, log, name=name, algorithm="none")
    with pytest.raises(ValueError, match="several sets are of the task 'small', but of other facts"):
        load([f"data:{tmp_path}"])
    assert len(load([f"data:{tmp_path / 'a'}", f"data:{tmp_path / 'a'}"])[0].rewards) == 6


def test_a_run_s_policy_and_its_replay_become_sets(trained_run, tmp_path):
    """Of both tasks, in their own units and sizes; a replay that came round gives what it still holds."""
    code, out, err = command("record", str(trained_run), "--episodes", "2", "--out", str(tmp_path / "policy"))
    assert code == 0, err
    assert "point" in out
    assert not [line for line in out.splitlines()[:4] if "…" in line or "..." in line]
    logs = {log.spec.name: log for log in load([f"data:{tmp_path / 'policy'}"])}
    assert [len(logs[name].episodes) for name in (POINT, PLANE)] == [2, 2]
    assert logs[POINT].observations.shape == (40, 2)
    assert logs[PLANE].actions[:, 1].min() >= 0
    assert logs[POINT].success is not None
    assert logs[PLANE].success is None
    for log in logs.values():  # a walk goes on from where the action took it
        middle = np.add(*log.spec.bounds) / 2
        moved = np.clip(log.observations[:, :-1] + 0.1 * (log.actions - middle), -2, 2)
        np.testing.assert_allclose(log.next_observations[:, :-1], moved, atol=1e-5)
    held = of_replay(trained_run)
    assert [log.spec.name for log in held] == [POINT, PLANE]
    assert all(0 < len(log.rewards) <= 50 for log in held)
    assert all(np.isfinite(log.rewards).all() and log.ends[-1] for log in held)
