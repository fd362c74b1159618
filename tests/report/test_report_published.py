"""The carried figures of the published curves: right numbers, right tasks, source named, no raw seeds."""

import json
from pathlib import Path

import numpy as np
import pytest

from polytask.report.published import published_for

FILES = sorted((Path(__file__).parents[2] / "src/polytask/report/published").glob("*.json"))
GOLDEN = Path(__file__).parents[3] / "shared/goldens/brc_published_curves.npz"


def test_mt10_stands_where_it_is_known_to(specs):
    published = published_for(specs.metaworld(), "multi")
    at = [published.index_at(step) for step in (25_000, 50_000, 100_000)]
    np.testing.assert_allclose(published.mean[at], [0.30, 0.70, 0.92], atol=0.005)
    assert published.seeds == 5
    assert published.iqm is not None


def test_v2_and_v3_names_are_the_same_tasks(specs):
    v2 = specs.metaworld([n.replace("-v3", "-v2") for n in specs.MT10])
    np.testing.assert_array_equal(published_for(v2, "multi").mean, published_for(specs.metaworld(), "multi").mean)


def test_any_subset_has_a_mean_and_only_named_groups_an_iqm(specs):
    some = published_for(specs.metaworld(specs.MT10[:3]), "multi")
    assert some.iqm is None
    np.testing.assert_allclose(some.mean, np.mean(list(some.tasks.values()), axis=0))


def test_dogs_are_published_and_other_tasks_are_not(specs):
    dogs = published_for(specs.dmc(), "multi")
    assert dogs.mean[-1] == pytest.approx(0.763, abs=0.001)
    assert published_for(specs.dmc(["cheetah-run"]), "multi") is None
    assert published_for(specs.gym(), "multi") is None
    mixed = published_for([*specs.dmc(), *specs.gym()], "multi")
    assert mixed.mean is None
    assert len(mixed.tasks) == 4


def test_the_point_beside_ours_is_never_later_than_ours(specs):
    published = published_for(specs.metaworld(), "multi")
    assert published.index_at(24_999) is None
    assert published.index_at(25_000) == published.index_at(49_999) == 0
    assert published.steps[published.index_at(10**9)] == 500_000


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_files_name_source_and_licence_and_hold_no_raw_seeds(path):
    data = json.loads(path.read_text())
    assert data["licence"] == "MIT"
    assert "naumix/BiggerRegularizedCategorical" in data["repository"]
    assert path.stat().st_size < 20_000
    for task in data["tasks"].values():
        assert set(task) == {"mean", "std"}
        assert len(task["mean"]) == len(data["steps"]) == 20


@pytest.mark.skipif(not GOLDEN.exists(), reason="needs shared/goldens, which stays outside the project")
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_files_agree_with_the_published_arrays(path):
    data = json.loads(path.read_text())
    scale = 1000 if data["suite"] == "dmc" else 1
    with np.load(GOLDEN) as arrays:
        for name, task in data["tasks"].items():
            raw = arrays[f"{data['suite']}/{data['agents']}/{name}"].astype(np.float64) / scale
            np.testing.assert_allclose(task["mean"], raw.mean(0), atol=6e-5)
            np.testing.assert_allclose(task["std"], raw.std(0), atol=6e-5)
            assert len(raw) == data["seeds"]
