"""Tables of a person's own: what their columns become, what is refused, and a training from a file to answers."""

import dataclasses
import json
import re

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from polytask.supervised import make_problem  # noqa: E402
from polytask.supervised.tables.columns import Input, encode, fit_inputs  # noqa: E402
from polytask.supervised.tables.parts import make_parts  # noqa: E402
from polytask.supervised.tables.reading import read, write  # noqa: E402
from polytask.supervised.tables.table import from_json  # noqa: E402
from polytask.supervised.tables.targets import labels, make_targets  # noqa: E402
from tests.small import asked, check_light_help, command  # noqa: E402
from tests.supervised.small import FAST  # noqa: E402

ROWS = 60


def sales() -> "pd.DataFrame":
    """Sixty houses: numbers, texts, dates, gaps, an id and free text; a target of each kind."""
    rng = np.random.default_rng(0)
    area, town = rng.normal(120, 30, ROWS), rng.choice(["Ulm", "Köln", "Bonn"], ROWS)
    day = pd.Timestamp("2023-01-01") + pd.to_timedelta(np.arange(ROWS)[::-1] * 9, unit="D")
    price = 3_000 * area + 50_000 * (town == "Köln") + 1e5
    return pd.DataFrame(
        {
            "id": np.arange(ROWS) + 500,
            "area": np.where(np.arange(ROWS) % 7 == 0, np.nan, area),
            "town": np.where(np.arange(ROWS) % 9 == 0, None, town),
            "listed": day.strftime("%Y-%m-%d"),
            "remark": [f"the {i}th house" for i in range(ROWS)],
            "price": np.where(np.arange(ROWS) % 5 == 0, np.nan, price),
            "sold": np.where(area > 120, "yes", "no"),
            "style": np.array(["loft", "villa", "hut"])[np.digitize(area, [100, 140])],
        }
    )


def problem(**options):
    return make_problem("sales", sales(), **{"targets": ["price", "sold", "style"], "drop": ["id"], **options})


def test_kinds_of_targets_are_guessed_and_can_be_said():
    frame = sales().assign(stars=np.arange(ROWS) % 5, half=np.arange(ROWS) % 2 + 0.5, free=np.arange(ROWS))
    names = ["price", "sold", "style", "stars", "half", "free"]
    kinds = [target.kind for target in make_targets(frame, names, {})]
    assert kinds == ["regression", "binary", "classes", "classes", "binary", "regression"]
    assert make_targets(frame, ["sold"], {})[0].classes == ("no", "yes")
    assert make_targets(frame, ["stars"], {"stars": "regression"})[0].kind == "regression"
    (classes,) = make_targets(frame, ["stars"], {})
    assert classes.classes == (0, 1, 2, 3, 4)


def test_a_missing_label_takes_no_part_and_a_row_without_any_is_left_out():
    (target,) = make_targets(sales(), ["price"], {})
    assert np.isnan(labels(target, sales()["price"])).sum() == 12
    alone = problem(targets=["price"], drop=["id", "sold", "style"])
    assert sum(len(part.inputs) for part in (alone.train, alone.validation, alone.test)) == 48
    assert "12 rows without any target" in alone.table.notes[0]
    every = problem()
    assert int(every.train.present[:, 0].sum()) < len(every.train.inputs) == 36


def test_whole_numbers_with_gaps_are_the_same_classes():
    frame = pd.DataFrame({"y": [0, 1, 2, None, 1]})
    (target,) = make_targets(frame, ["y"], {})
    assert (target.classes, labels(target, frame["y"]).tolist()) == ((0, 1, 2), [0, 1, 2, -1, 1])


def test_inputs_are_fitted_on_the_training_rows_alone():
    frame = pd.DataFrame({"x": [1.0, 3.0, np.nan, 100.0], "c": ["a", "b", "b", "z"]})
    inputs, notes = fit_inputs(frame, np.array([0, 1, 2]), ["x", "c"])
    assert inputs == (Input("x", "number", fill=2.0, marked=True), Input("c", "category", ("a", "b")))
    assert notes == ()
    expected = [[1, 0, 1, 0], [3, 0, 0, 1], [2, 1, 0, 1], [100, 0, 0, 0]]
    np.testing.assert_array_equal(encode(inputs, frame), expected)


def test_a_category_reads_alike_from_whole_numbers_and_from_numbers_with_gaps():
    inputs = (Input("c", "category", ("1", "2", "")),)
    for given in (["1", "2", None], [1.0, 2.0, np.nan]):
        np.testing.assert_array_equal(encode(inputs, pd.DataFrame({"c": given})), np.eye(3))


def test_dates_become_days_and_phases_that_vary():
    frame = pd.DataFrame({"d": ["2024-01-01", "2024-01-08", "2024-01-15"]})  # Mondays at midnight
    ((one,), _) = fit_inputs(frame, np.arange(3), ["d"])
    assert (one.kind, one.levels) == ("date", ("days", "year"))
    assert np.diff(encode((one,), frame)[:, 0]).tolist() == [7, 7]
    ((timed,), _) = fit_inputs(frame, np.arange(3), ["d"], timed="d")
    assert timed.levels == ("year",)


def test_free_text_ids_and_constants_are_left_out_and_named():
    frame = sales().assign(same=3, empty=None)
    inputs, notes = fit_inputs(frame, np.arange(ROWS), ["id", "area", "remark", "same", "empty"])
    assert [one.name for one in inputs] == ["area"]
    for said in ("id: left out, an id", "remark: left out, 60 different texts", "same: left out", "empty: left out"):
        assert said in "\n".join(notes)


@pytest.mark.parametrize("split", ["random", "time", "time:listed", "group:town", "part"])
def test_a_split_takes_every_row_once(split):
    frame = sales().assign(part=["train", "test"] * (ROWS // 2))
    parts = make_parts(frame, split, 0, ())
    every = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(every.tolist()) == list(range(ROWS))
    if split.startswith("time"):
        listed = frame["listed"]
        assert listed[parts.train].max() < listed[parts.validation].min() < listed[parts.test].min()
    if split == "group:town":
        towns = [set(frame["town"].fillna("")[part]) for part in parts[:3]]
        assert not towns[0] & towns[1]
        assert not towns[0] & towns[2]
    if split == "part":
        assert parts.test.tolist() == list(range(1, ROWS, 2))


def test_a_table_comes_back_from_json():
    table = problem(split="time").table
    assert from_json(json.loads(json.dumps(dataclasses.asdict(table)))) == table
    np.testing.assert_array_equal(table.encode(sales())[:3], problem(split="time").table.encode(sales().head(3)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"targets": ["prise"]}, "no column 'prise': did you mean 'price'"),
        ({"targets": []}, "name the columns to predict, such as --targets style"),
        ({"drop": ["ids"]}, "--drop: the table has no column 'ids'"),
        ({"drop": ["price"]}, "'price' is named more than once"),
        ({"targets": ["remark"]}, "'remark' has 60 different texts"),
        ({"targets": ["listed"]}, "'listed' holds dates"),
        ({"kinds": {"style": "regression"}}, "'style' holds texts such as"),
        ({"kinds": {"style": "binary"}}, "has 3 different values"),
        ({"kinds": {"style": "class"}}, "a kind is regression, binary or classes"),
        ({"kinds": {"area": "classes"}}, "area is no target"),
        ({"split": "town"}, "--split group:town"),
        ({"split": "tow"}, "did you mean 'town'"),
        ({"split": "time:area"}, "rows have no area"),
        ({"drop": ["id", "area", "town", "listed"]}, "no column is left to predict from"),
    ],
)
def test_what_a_table_cannot_be_is_said(options, said):
    frame = sales()
    if options.get("targets") == ["remark"]:
        frame = pd.concat([frame, frame.assign(remark=frame["remark"] + "!")])
        said = said.replace("60", "120")
    given = {"targets": ["price", "sold", "style"], "drop": ["id"], **options}
    with pytest.raises(ValueError, match=re.escape(said)):
        make_problem("sales", frame, **given)


def test_a_constant_target_is_refused():
    with pytest.raises(ValueError, match="target 'y' is 3 in all rows"):
        make_targets(pd.DataFrame({"y": [3, 3, None]}), ["y"], {})


def test_files_of_every_kind_read_alike(tmp_path):
    frame = pd.DataFrame({"name": ["Köln", "a;b"], "size": [1.5, 2.25]})
    for name in ("t.csv", "t.tsv"):
        write(frame, tmp_path / name)
        pd.testing.assert_frame_equal(read(tmp_path / name), frame, check_dtype=False)
    german = tmp_path / "german.csv"
    german.write_text("name;size\nKöln;1,5\nUlm;2,25\n", encoding="utf-8-sig")
    assert read(german)["size"].tolist() == [1.5, 2.25]


def test_a_parquet_file_reads_alike(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"name": ["a", None], "size": [1.5, np.nan]})
    write(frame, tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet")["size"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "it is empty"),
        ("head.csv", b"a,b\n", "no rows, only a line of headings"),
        ("latin.csv", "a,b\nKöln,1\n".encode("latin-1"), "not text in UTF-8"),
        ("torn.csv", b'a,b\n1,2\n1,2,3,4\n"', "cannot be read as a table"),
        ("twice.parquet", b"not parquet", "cannot be read as a table"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, name, content, said):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read(tmp_path / name)


def test_a_file_that_is_not_there_is_named_with_those_beside_it(tmp_path):
    (tmp_path / "sales.csv").write_text("a\n1\n")
    code, _, err = command("train", str(tmp_path / "sale.csv"), "--targets", "a")
    assert (code, "sales.csv" in err) == (1, True)


def test_the_command_reads_lists_with_commas_and_names_the_folder():
    config, folder = asked(
        "data/sales.csv", "--targets", "price,sold", "style", "--kind", "style=classes", "--drop", "id"
    )
    assert (config.targets, config.kinds, config.drop) == (("price", "sold", "style"), ("style=classes",), ("id",))
    assert folder.as_posix() == "runs/sales-price+sold+style-sum-seed0"
    weighted = asked("sales.csv", "--targets", "sold", "--class-weights", "balanced", "--split", "time:day")[1]
    assert weighted.as_posix() == "runs/sales-sold-balanced-sum-time-day-seed0"


def test_help_is_light_and_fits_80_columns():
    check_light_help("sales.csv", "--targets")


@pytest.mark.slow
def test_a_table_is_trained_on_and_answers_for_new_rows(tmp_path):
    file, run, out = tmp_path / "sales.csv", tmp_path / "run", tmp_path / "out.csv"
    sales().to_csv(file, index=False)
    code, said, err = command(
        "train", str(file), "--targets", "price,sold,style", "--drop", "id", *FAST, "--run", str(run)
    )
    assert (code, err) == (0, "")
    for line in ("sold: binary, yes is yes, no is no", "remark: left out", "random, data seed 0", "F1", "AUC"):
        assert line in said
    new = sales().drop(columns=["price", "sold", "style"]).iloc[[3, 1]]
    new.to_csv(tmp_path / "new.csv", index=False)
    assert command("predict", str(run), str(tmp_path / "new.csv"), "--output", str(out))[0] == 0
    found = pd.read_csv(out)
    assert found["id"].tolist() == [503, 501]
    assert found["price"].between(1e5, 1e6).all()
    assert set(found["sold"]) <= {"yes", "no"}
    np.testing.assert_allclose(found[["style_hut", "style_loft", "style_villa"]].sum(axis=1), 1, rtol=1e-5)
    assert "the table lacks area" in command("predict", str(run), str(out))[2]
    assert command("resume", str(run), "--steps", "50")[0] == 0


def test_a_class_without_a_training_row_is_named_and_one_name_needs_no_list():
    frame = sales().assign(part=np.where(np.arange(ROWS) < 40, "train", "test"), style="hut")
    frame.loc[[0, 45], "style"] = ["loft", "villa"]
    alone = make_problem("sales", frame[["area", "style", "part"]], targets="style", split="part")
    assert [target.name for target in alone.table.targets] == ["style"]
    assert "style: no training row is villa, so it is never the answer" in alone.table.notes
