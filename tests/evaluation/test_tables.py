"""Tables of results: written, read, grouped, shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from evaluation.tables import BASELINE, LABEL, REPORTED, Column, ResultTable, by_genre, format_table, of_all, run_table

TABLE = ResultTable(
    "things-T{T}.csv",
    "-m things",
    (Column("genre_name", "{condition}", LABEL), Column("x", "value"), Column("published", "reported", REPORTED)),
    protocol=("seed",),
)


def frame_of(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"T": 32, "genre_id": [0, -1], "genre_name": ["a", "all"], "seed": 0, "x": 1.0, **columns})


def test_groups_are_those_that_occur_and_all_together() -> None:
    values = pd.DataFrame({"genre_id": [2, 0, 2], "x": [1.0, 2.0, 4.0]})
    frame = by_genre(values, ["a", "b", "c"], lambda rows: {"n": len(rows), "mean": rows["x"].mean()})
    assert frame.values.tolist() == [[0, 1, 2.0, "a"], [2, 2, 2.5, "c"], [-1, 3, 7 / 3, "all"]]
    assert of_all(frame)["n"].tolist() == [3]


def test_a_folder_that_cannot_be_written_is_named_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        run_table(TABLE, [1], lambda each: pytest.fail("computes"), tmp_path / "file", [32], str)


def test_rows_are_added_to_the_same_table_alone(tmp_path: Path) -> None:
    table = replace(TABLE, file="things.csv", key=("seed", "genre_id"))
    assert table.require_addable(tmp_path) is None
    table.add(frame_of(), tmp_path)
    assert table.add(frame_of(seed=[0, 1], x=2.0), tmp_path)["x"].tolist() == [1, 2, 2], "one row is replaced, one new"
    (tmp_path / "things.csv").write_text("seed,other\n1,2\n")
    with pytest.raises(UserError, match=r"things\.csv: has no column genre_id"):
        table.require_addable(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        table.require_addable(tmp_path / "file")


def test_a_table_as_text() -> None:
    frame = pd.DataFrame({"genre_name": ["a", "all"], "x": [1 / 3, 1234.5678], "n": [np.nan, 2], "published": np.nan})
    columns = (*TABLE.columns[:2], Column("n", "n", BASELINE), TABLE.columns[2])
    assert format_table(frame.assign(condition="composer"), columns).splitlines() == [
        "composer   value  n",
        "a         0.3333  -",
        "all         1235  2",
    ]
    assert "reported" in format_table(frame.assign(published=[None, 3.0]), columns)
    shown = format_table(frame_of(genre_name=["\x1b[2J", "{condition} {0}"]), TABLE.columns[:1])
    assert shown.splitlines()[1:] == ["\\x1b[2J", "{condition} {0}"], "control characters are escaped"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    frame = frame_of(x=[1 / 3, np.nan], genre_name=["1984", "NA"], checkpoint_sha256=["1234e5", "007"], note=["", "b"])
    frame["classifier"] = ["1234e5", "5"]
    (path,) = TABLE.write(frame, tmp_path)
    assert path == tmp_path / "things-T32.csv"
    assert path.read_text().splitlines()[1] == "32,0,1984,0,0.333333,1234e5,,1234e5"
    again = TABLE.read(tmp_path, 32)
    for column in ("genre_name", "checkpoint_sha256", "classifier"):
        assert again[column].tolist() == frame[column].tolist()
    assert again["x"].tolist()[0] == pytest.approx(1 / 3, rel=1e-5) and np.isnan(again["x"][1])
    assert TABLE.read(tmp_path, 64) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a table of results"),
        ("T,genre_name\n", "has no rows"),
        ("T,genre_name,seed\n32,a,0\n", "has no column x; it is of another version: make it again"),
        ("T,genre_name,x\n32,a,1\n", "has no column seed"),
    ],
)
def test_other_files_are_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "things-T32.csv").write_text(content)
    with pytest.raises(UserError, match=rf"things-T32.csv: {message}"):
        TABLE.read(tmp_path, 32)
