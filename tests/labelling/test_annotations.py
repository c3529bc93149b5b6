"""Readers of annotations and catalogues, with damaged records."""

import json
import os
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
from labelling.msd import Problem, Track

ONE, TWO, THREE = (f"TR{letter * 5}{'0' * 11}" for letter in "ABC")


def test_track_labels_with_comments_ranks_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "some.cls"
    path.write_bytes(f"# by hand\r\n{ONE}\tRock\tPop\r\n{TWO}\tJazz\r\n{THREE}\tPop\r\nno track\tPop\r\n".encode())
    problems: list[Problem] = []
    labels = read_track_labels(path, {ONE, TWO}, problems)
    assert labels == {ONE: [("Rock", pytest.approx(2 / 3)), ("Pop", pytest.approx(1 / 3))], TWO: [("Jazz", 1.0)]}
    assert problems == [Problem(f"{path}: line 5", "expected a track id with one or two labels")]


def test_match_scores_are_returned_by_md5_sum(tmp_path: Path) -> None:
    path = tmp_path / "match_scores.json"
    path.write_text(json.dumps({ONE: {"aa": 0.7, "bb": 0.6}, TWO: {"aa": 0.5}, THREE: ["aa"]}), encoding="utf-8")
    problems: list[Problem] = []
    assert read_match_scores(path, {"aa"}, problems) == {"aa": [(ONE, 0.7), (TWO, 0.5)]}
    assert [problem.path for problem in problems] == [f"{path}: {THREE}"]


def test_md5_labels_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text(json.dumps({"magd": {"aa": ["Pop", "Jazz", "Pop"], "bb": ["Pop"]}, "masd": []}), encoding="utf-8")
    problems: list[Problem] = []
    assert read_md5_labels(path, {"aa"}, problems) == {"magd": {"aa": [("Jazz", 1), ("Pop", 2)]}, "masd": {}}
    assert [problem.path for problem in problems] == [f"{path}: masd"]


def test_scores_out_of_range_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "match_scores.json"
    scores = ["1e999", "NaN", "2", "-1", "null", "9" * 400, "[]"]
    records = ", ".join(f'"{number}": {{"aa": {score}}}' for number, score in enumerate(scores))
    path.write_text(f'{{{records}, "{ONE}": {{"aa": 1, "bb": 1e999}}}}', encoding="utf-8")
    problems: list[Problem] = []
    assert read_match_scores(path, {"aa"}, problems) == {"aa": [(ONE, 1.0)]}
    assert len(problems) == len(scores) and "scores from 0 to 1" in problems[0].reason


@pytest.mark.parametrize("labels", ["3", "null", '"Jazz"', "[1]", '["Jazz", null]', '["\\ud800"]', '{"Jazz": 1}'])
def test_labels_that_are_no_list_of_texts_are_left_out(tmp_path: Path, labels: str) -> None:
    path = tmp_path / "map.json"
    path.write_text(f'{{"magd": {{"aa": {labels}, "bb": ["Pop"]}}, "\\ud800": {{"aa": ["Pop"]}}}}', encoding="utf-8")
    problems: list[Problem] = []
    assert read_md5_labels(path, {"aa", "bb"}, problems) == {"magd": {"bb": [("Pop", 1)]}, "\ud800": {}}
    assert [problem.path for problem in problems] == [f"{path}: magd: aa", f"{path}: \ud800"]


def test_odd_rows_of_metadata_are_left_out(tmp_path: Path) -> None:
    path, long, problems = tmp_path / "metadata.csv", "x" * 200_000, []
    odd = ["A", "A,B", 'A,B,"[{[]: 1}]"', "A,B,\"['\\ud800']\"", 'A,B,"[3]"', 'A,B,"[' + 9999 * "(" + '"']
    path.write_text("\n".join(["artist,title,mbtags", *odd, f'"C\nD",{long},rock', "E,F,"]), encoding="utf-8")
    assert list(iter_metadata_csv(path, problems)) == [Track("", "C\nD", long, (("rock", 1.0),)), Track("", "E", "F")]
    assert [problem.path for problem in problems] == [f"{path}: line {line}" for line in range(2, 8)]


@pytest.mark.parametrize("rest", ["C,D,pop\n" * 1000, "x" * 11_000_000])
def test_a_quote_that_is_never_closed_is_named(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "metadata.csv"
    path.write_text(f'artist,title,mbtags\n"A\nx",B,pop\n"A,B,rock\n{rest}', encoding="utf-8")
    with pytest.raises(UserError, match=r"the row of line 4 is not CSV .* never closed\?"):
        list(iter_metadata_csv(path, []))


def test_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    metadata = lambda path, *_: list(iter_metadata_csv(path, []))  # noqa: E731
    for read in (read_match_scores, read_md5_labels, read_track_labels, metadata):
        with pytest.raises(UserError, match="x: not a regular file"):
            read(tmp_path / "x", set(), [])


def test_unique_tracks_and_metadata(tmp_path: Path) -> None:
    tracks, metadata, problems = tmp_path / "unique_tracks.txt", tmp_path / "metadata.csv", []
    tracks.write_text(f"{ONE}<SEP>SO1<SEP>Kate Bush<SEP>Cloudbusting\nbroken\n", encoding="utf-8")
    assert list(iter_unique_tracks(tracks, problems)) == [Track(ONE, "Kate Bush", "Cloudbusting")]
    rows = ["artist,title,mbtags", 'A,B,"[\'rock\', ""80\'s""]"', "C,D,[]", "E,F,Folk", 'G,H,"[1, 2]"', "I"]
    metadata.write_text("\n".join(rows), encoding="utf-8")
    expected = [
        Track("", "A", "B", (("rock", 1.0), ("80's", pytest.approx(2**-0.5)))), Track("", "C", "D"),
        Track("", "E", "F", (("Folk", 1.0),)),
    ]  # fmt: skip
    assert list(iter_metadata_csv(metadata, problems)) == expected
    places = [f"{tracks}: line 2", f"{metadata}: line 5", f"{metadata}: line 6"]
    assert [problem.path for problem in problems] == places


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (lambda path: read_match_scores(path, set(), []), "{", "not JSON"),
        (lambda path: read_match_scores(path, set(), []), "[]", "not an object of track ids"),
        (lambda path: read_md5_labels(path, set(), []), "[]", "not an object of annotations"),
        (lambda path: read_track_labels(path, set(), []), None, "no such file"),
        (lambda path: list(iter_metadata_csv(path, [])), "artist,name\n", "no column mbtags and title"),
    ],
)
def test_other_files_are_refused(read, content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=f"^{path}: {message}"):
        read(path)
