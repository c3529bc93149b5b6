"""Files of annotations and catalogues, with what is wrong in them."""

import json
from pathlib import Path

import pytest

from common.errors import UserError
from labelling.annotations import (
    iter_metadata_csv,
    iter_unique_tracks,
    read_match_scores,
    read_md5_labels,
    read_track_labels,
)
from labelling.msd import Problem

ONE, TWO, THREE = (f"TR{letter * 5}{'0' * 11}" for letter in "ABC")


def test_labels_of_tracks_with_remarks_ranks_and_other_ends_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "some.cls"
    path.write_bytes(f"# made by hand\r\n{ONE}\tRock\tPop\r\n{TWO}\tJazz\r\n{THREE}\tPop\r\nno track\tPop\r\n".encode())
    problems: list[Problem] = []
    labels = read_track_labels(path, {ONE, TWO}, problems)
    assert labels == {ONE: [("Rock", pytest.approx(2 / 3)), ("Pop", pytest.approx(1 / 3))], TWO: [("Jazz", 1.0)]}
    assert problems == [Problem(f"{path}: line 5", "no track id with one or two labels")]


def test_matches_are_turned_round(tmp_path: Path) -> None:
    path = tmp_path / "match_scores.json"
    path.write_text(json.dumps({ONE: {"aa": 0.7, "bb": 0.6}, TWO: {"aa": 0.5}, THREE: ["aa"]}), encoding="utf-8")
    problems: list[Problem] = []
    assert read_match_scores(path, {"aa"}, problems) == {"aa": [(ONE, 0.7), (TWO, 0.5)]}
    assert [problem.path for problem in problems] == [f"{path}: {THREE}"]


def test_labels_by_md5_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text(json.dumps({"magd": {"aa": ["Pop", "Jazz", "Pop"], "bb": ["Pop"]}, "masd": []}), encoding="utf-8")
    problems: list[Problem] = []
    assert read_md5_labels(path, {"aa"}, problems) == {"magd": {"aa": [("Jazz", 1), ("Pop", 2)]}, "masd": {}}
    assert len(problems) == 1


def test_unique_tracks_and_metadata(tmp_path: Path) -> None:
    tracks = tmp_path / "unique_tracks.txt"
    tracks.write_text(f"{ONE}<SEP>SO1<SEP>Kate Bush<SEP>Cloudbusting\nbroken\n", encoding="utf-8")
    problems: list[Problem] = []
    assert list(iter_unique_tracks(tracks, problems)) == [(ONE, "Kate Bush", "Cloudbusting", [])]
    metadata = tmp_path / "metadata.csv"
    rows = ["artist,title,mbtags", 'A,B,"[\'rock\', ""80\'s""]"', "C,D,[]", "E,F,Folk", 'G,H,"[1, 2]"']
    metadata.write_text("\n".join(rows), encoding="utf-8")
    told = [(record.artist, [tag for tag, _ in record.tags]) for record in iter_metadata_csv(metadata, problems)]
    assert told == [("A", ["rock", "80's"]), ("C", []), ("E", ["Folk"])]
    assert [problem.path for problem in problems] == [f"{tracks}: line 2", f"{metadata}: line 5"]


@pytest.mark.parametrize("read", [read_match_scores, read_md5_labels])
def test_what_is_no_json_is_named(read: object, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text, message in (("{", "no JSON"), ("[]", "no object of")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=message) as error:
            read(path, set(), [])
        assert str(path) in str(error.value)


def test_missing_files_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.cls: no such file"):
        read_track_labels(tmp_path / "none.cls", set(), [])
    path = tmp_path / "m.csv"
    path.write_text("artist,name\n", encoding="utf-8")
    with pytest.raises(UserError, match="no column mbtags and title"):
        list(iter_metadata_csv(path, []))
