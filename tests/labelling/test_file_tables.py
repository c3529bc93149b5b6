"""Metadata of GigaMIDI and IMSLP-MIDI: both forms of file, lists in all their spellings, damage."""

from pathlib import Path

import pandas as pd
import pytest
from corpus import write_corpus

from common.errors import UserError
from labelling import file_tables
from labelling.all_sources import label_files
from labelling.file_tables import read_file_tables
from labelling.files import MidiFile
from labelling.msd import Problem
from labelling.options import Options

FILES = [MidiFile(f"a/{md5}.mid", "", "", md5, "") for md5 in ("aa", "bb", "cc", "dd")]
GIGAMIDI = pd.DataFrame(
    {
        "md5": ["aa", "bb", "xx", "cc"],
        "title": ["One", None, "X", "Three"],
        "artist": ["Somebody", None, "X", ""],
        "music_styles_curated": [["rock", "punk"], [], ["jazz"], None],
        "music_style_scraped": ["alternative-indie%2cpop%2crock", None, "jazz", "smooth%20jazz"],
        "music_style_audio_text_Lastfm": [["pop"], ["jazz"], None, None],
        "num_tracks": [4, 2, 1, 1],
    }
)
SCRAPED = {0: ["alternative-indie", "pop", "rock"], 3: ["smooth jazz"]}


def tags_of(
    path: Path, files: list[MidiFile], problems: list[Problem] | None = None
) -> dict[str, dict[int, list[str]]]:
    _, evidence = read_file_tables([path], files, [] if problems is None else problems)
    return {each.name: {number: [tag for tag, _ in tags] for number, tags in each.tags.items()} for each in evidence}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_gigamidi_labels_files_by_their_md5_sum(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"metadata.{suffix}"
    GIGAMIDI.to_csv(path, index=False) if suffix == "csv" else GIGAMIDI.to_parquet(path)
    files, evidence = read_file_tables([path], [FILES[0], FILES[3], FILES[1], FILES[2]], [])
    assert [(file.artist, file.title) for file in files] == [("Somebody", "One"), ("", ""), ("", ""), ("", "Three")]
    assert {each.name: each.kind for each in evidence} == {
        "annotation GigaMIDI curated": "annotation", "annotation GigaMIDI scraped": "annotation",
        "title GigaMIDI Lastfm": "title",
    }  # fmt: skip
    assert tags_of(path, [FILES[0], FILES[3], FILES[1], FILES[2]], []) == {
        "annotation GigaMIDI curated": {0: ["rock", "punk"]},
        "annotation GigaMIDI scraped": SCRAPED,
        "title GigaMIDI Lastfm": {0: ["pop"], 2: ["jazz"]},
    }


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("['rock', 'pop']", ["rock", "pop"]), ('["rock"]', ["rock"]), ("rock%2Cpop", ["rock", "pop"]),
        (" rock , pop,,", ["rock", "pop"]), ("%5B", ["["]), ("['rock', None]", ["rock"]), ("", None),
    ],
)  # fmt: skip
def test_lists_in_text(text: str, wanted: list[str] | None, tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    pd.DataFrame({"md5": ["aa"], "music_style_scraped": [text]}).to_csv(path, index=False)
    assert tags_of(path, FILES, []) == ({"annotation GigaMIDI scraped": {0: wanted}} if wanted else {})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_imslp_labels_files_by_name_with_composer_and_era(suffix: str, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "file_name": ["one.mid", "two.mid"], "title": ["Suite", "Prelude"], "composer": ["Bach, J. S.", "Satie"],
            "year": [1720.0, None], "era": ["Baroque", None], "style": ["Baroque", "Modern"], "license": ["x", "y"],
            "midi": [b"MThd", b"MThd"],
        }
    )  # fmt: skip
    path = tmp_path / f"imslp.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    given = [MidiFile("x/two.mid", "Own", "Name", "", ""), MidiFile("one.mid", "", "", "", "")]
    files, _ = read_file_tables([path], given, [])
    assert files == [
        given[0]._replace(composer="Satie"),
        given[1]._replace(artist="Bach, J. S.", title="Suite", composer="Bach, J. S.", era="Baroque"),
    ]
    assert tags_of(path, given, []) == {
        "annotation IMSLP": {0: ["classical music", "Modern"], 1: ["classical music", "Baroque"]}
    }


def test_values_of_another_kind_are_named(tmp_path: Path) -> None:
    csv, parquet, problems = tmp_path / "cut.csv", tmp_path / "lists.parquet", []
    cut = ["['rock'", "[1]", "[" * 5000]
    pd.DataFrame({"md5": ["AA", "bb", "cc"], "music_style_scraped": cut}).to_csv(csv, index=False)
    pd.DataFrame({"md5": [["aa"], ["bb"]], "music_style_scraped": ["rock", "pop"]}).to_parquet(parquet)
    _, evidence = read_file_tables([csv, parquet], FILES, problems)
    assert evidence == []
    assert [problem.path for problem in problems] == [
        *(f"{csv}: {md5}" for md5 in ("aa", "bb", "cc")), f"{parquet}: ['aa']", f"{parquet}: ['bb']"
    ]  # fmt: skip


def test_several_tables_count_together(tmp_path: Path) -> None:
    paths = [tmp_path / "train.csv", tmp_path / "test.csv"]
    for path, rows in zip(paths, (GIGAMIDI[:1], GIGAMIDI[1:]), strict=True):
        rows.to_csv(path, index=False)
    _, evidence = read_file_tables(paths, [FILES[0], FILES[3], FILES[1], FILES[2]], [])
    scraped = next(each for each in evidence if each.name.endswith("scraped"))
    assert {number: [tag for tag, _ in tags] for number, tags in scraped.tags.items()} == SCRAPED


def test_damaged_rows_are_named_and_the_others_count(tmp_path: Path) -> None:
    path, problems = tmp_path / "metadata.csv", []
    path.write_bytes(b"md5,music_style_scraped\naa,rock\nbb,pop,more\ncc,\xff\ndd,jazz\nbb\n")
    assert tags_of(path, FILES, problems)["annotation GigaMIDI scraped"] == {0: ["rock"], 2: ["\ufffd"], 3: ["jazz"]}
    reason = "more or fewer values than columns"
    assert problems == [Problem(f"{path}: line 3", reason), Problem(f"{path}: line 6", reason)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"md5,title\naa,One\n", "neither GigaMIDI's columns .* nor IMSLP's"),
        (b"", "neither GigaMIDI's columns"),
        (b'md5,music_style_scraped\naa,"rock\nbb,pop\n', "the row of line 2 is not CSV .* never closed"),
        (b"PAR1 and no more", "metadata.csv: .*; download it again"),
        (None, "no such file; name another"),
    ],
)
def test_other_files_are_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_file_tables([path], FILES, [])


def test_parquet_names_the_package_that_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    GIGAMIDI.to_parquet(tmp_path / "metadata.parquet")
    monkeypatch.setattr(file_tables, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="parquet needs pyarrow; pip install pyarrow"):
        read_file_tables([tmp_path / "metadata.parquet"], FILES, [])


def test_labels_have_composer_and_era(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = sorted(path.name for path in (tmp_path / "midi").rglob("*.mid"))
    table = pd.DataFrame({"file_name": names, "composer": "Bach", "era": "Baroque", "style": "Baroque"})
    table.to_csv("imslp.csv", index=False)
    labels = label_files(Options(midi_dir=Path("midi"), tables=(Path("imslp.csv"),), out=Path("new.csv")))
    assert len(labels) == len(names)
    assert set(zip(labels["genre"], labels["composer"], labels["era"], strict=True)) == {
        ("classical", "Bach", "Baroque")
    }
