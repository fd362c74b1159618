"""affinity.jsonl: written, read, put together; and what a kill or an early stop does to it."""

import json

import numpy as np
import pytest

from polytask.affinity.averages import Averages
from polytask.affinity.record import clear_pairs, conflict_rates, over_seeds, pool, to_line
from polytask.runs.affinity_log import AffinityLog, read_affinity
from polytask.runs.folder import RunFolder, RunFolderError
from tests.affinity.runs import write_affinity

TASKS = ("gym/a", "gym/b", "gym/c")


def averages_of(values: np.ndarray) -> Averages:
    """As the running averages of these measurements (rows, tasks, tasks) would be; NaN is not measured."""
    times = np.isfinite(values).sum(axis=0)
    mean = np.where(times > 0, np.nansum(values, axis=0) / np.maximum(times, 1), 0.0)
    squares = np.nansum((values - mean[None]) ** 2, axis=0)
    return Averages(times.astype(np.int32), mean.astype(np.float32), squares.astype(np.float32))


def log_values(run, chunks):
    with AffinityLog(run) as log:
        for p, values in enumerate(chunks):
            log.period((10 * p, 10 * p + 10), {"gain": averages_of(values)}, TASKS)


def test_few_periods_pool_to_the_mean_and_error_of_all_measurements(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(1.0, 2.0, (40, 3, 3))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, 0, 1] = np.nan
    log_values(tmp_path, np.split(values, [5, 25]))
    pooled = pool(read_affinity(tmp_path)[0], "gain")
    known = np.isfinite(values).any(axis=0)
    np.testing.assert_allclose(pooled.mean[known], np.nanmean(values[:, known], axis=0), rtol=1e-5)
    count = np.isfinite(values).sum(axis=0)
    error = np.nanstd(values[:, known], axis=0, ddof=1) / np.sqrt(count[known])
    np.testing.assert_allclose(pooled.error[known], error, rtol=1e-5)
    assert np.isnan(pooled.mean[0, 1])
    assert (pooled.periods, pooled.steps, pooled.part) == (3, (0, 30), "model")


def test_with_many_periods_the_error_is_that_of_the_periods_means(tmp_path):
    rng = np.random.default_rng(1)
    levels = rng.normal(size=(8, 1, 3, 3))  # drifts between the periods, hardly moves within
    chunks = levels + 1e-3 * rng.normal(size=(8, 10, 3, 3))
    log_values(tmp_path, list(chunks))
    pooled = pool(read_affinity(tmp_path)[0], "gain")
    np.testing.assert_allclose(pooled.error, chunks.mean(axis=1).std(axis=0, ddof=1) / 8**0.5, rtol=1e-5)


def test_averaging_stops_at_the_early_stop(tmp_path):
    chunks = [np.full((2, 3, 3), float(p)) for p in range(4)]
    log_values(tmp_path, chunks)
    with AffinityLog(tmp_path) as log:
        log.stopped_early(step=40, until=20)
    records, until, damaged = read_affinity(tmp_path)
    assert (until, damaged) == (20, [])
    assert pool(records, "gain", until=until).mean[0, 1] == 0.5
    assert pool(records, "gain").mean[0, 1] == 1.5
    with pytest.raises(ValueError, match="ends by step 5"):
        pool(records, "gain", until=5)


def test_a_line_that_is_cut_off_is_left_out_and_counted(tmp_path):
    log_values(tmp_path, [np.ones((2, 3, 3))] * 2)
    file = tmp_path / "affinity.jsonl"
    file.write_bytes(file.read_bytes()[:-30])
    records, _, damaged = read_affinity(tmp_path)
    assert (len(records), damaged) == (1, [2])


def test_resuming_drops_what_came_after_the_checkpoint(tmp_path):
    log_values(tmp_path, [np.ones((2, 3, 3))] * 3)
    RunFolder(tmp_path).truncate_jsonl(20)
    assert [r.step for r in read_affinity(tmp_path)[0]] == [10, 20]


def test_a_line_is_json_of_the_documented_form(tmp_path):
    values = np.ones((2, 3, 3))
    values[:, 0, 0] = np.nan
    log_values(tmp_path, [values])
    line = json.loads((tmp_path / "affinity.jsonl").read_text())
    assert set(line) == {"step", "period", "measure", "part", "matrix", "count", "variance", "tasks"}
    assert (line["step"], line["period"], line["tasks"]) == (10, [0, 10], list(TASKS))
    assert line["matrix"][0] == [None, 1.0, 1.0]
    assert line["count"][0] == [0, 2, 2]
    assert to_line(read_affinity(tmp_path)[0][0]) == line


def test_what_is_missing_says_so(tmp_path):
    with pytest.raises(RunFolderError, match="holds no measurements"):
        read_affinity(tmp_path)
    write_affinity(tmp_path, TASKS, parts=("critic", "actor"))
    records = read_affinity(tmp_path)[0]
    assert pool(records, "transference").part == "critic"
    assert pool(records, "transference", "actor").part == "actor"
    with pytest.raises(ValueError, match=r"there are conflict \(actor\)"):
        pool(records, "gain")


def test_seeds_and_rates(tmp_path):
    runs = [write_affinity(tmp_path / str(s), TASKS, seed=s) for s in range(3)]
    pooled = [pool(read_affinity(run)[0], "transference") for run in runs]
    joined = over_seeds(pooled)
    np.testing.assert_allclose(joined.mean, np.mean([p.mean for p in pooled], axis=0))
    np.testing.assert_allclose(joined.error, np.std([p.mean for p in pooled], axis=0, ddof=1) / 3**0.5)
    assert over_seeds(pooled[:1]) is pooled[0]
    rates = conflict_rates(pool(read_affinity(runs[0])[0], "conflict"))
    assert ((rates > 0.5) & (rates < 0.7)).all()
    assert all(s != r for s, r in clear_pairs(joined))
