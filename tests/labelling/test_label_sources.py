"""Tags of files from catalogues by MD5 sum, by artist and title, by artist, by folder; labels from these tags."""

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from msd_files import write_aggregate

from labelling.files import MidiFile, with_md5
from labelling.genre_map import GenreMap
from labelling.labels import in_order, judge, label
from labelling.msd import Problem, Track
from labelling.options import KINDS, Catalogues
from labelling.sources import Evidence, gather

MAP = GenreMap.read()
ONE, TWO, THREE = (f"TR{letter * 5}{'0' * 11}" for letter in "ABC")
MATCHED = MidiFile("x/1.mid", "", "", "aa", "")
NAMED = MidiFile("Bush,Kate/Cloudbusting.mid", "Bush,Kate", "Cloudbusting", "bb", "")
UNKNOWN = MidiFile("jazz/Nobody/Nothing.mid", "Nobody", "Nothing", "cc", "")
FILES = [MATCHED, NAMED, UNKNOWN]


@pytest.fixture
def catalogues(tmp_path: Path) -> Catalogues:
    """Three Million Song tracks: a file matches one by its MD5 sum and one by its names."""
    write_aggregate(tmp_path / "h5/one.h5", Track(ONE, "Miles", "So What", (("jazz", 5), ("american", 9))))
    terms = (("art rock", 1.0), ("pop", 0.3))
    write_aggregate(tmp_path / "h5/two.h5", Track(TWO, "The Kate Bush", "Cloudbusting (Live)", (), terms))
    write_aggregate(tmp_path / "h5/three.h5", Track(THREE, "Kate Bush", "Babooshka", (("pop", 3), ("rock", 1))))
    (tmp_path / "match_scores.json").write_text(json.dumps({ONE: {"aa": 0.7}, THREE: {"aa": 0.6}}), encoding="utf-8")
    (tmp_path / "some.cls").write_text(f"# \n{ONE}\tJazz\n{TWO}\tPop\tRock\n{THREE}\tPop\n", encoding="utf-8")
    return Catalogues(
        msd_h5=(tmp_path / "h5",), match_scores=tmp_path / "match_scores.json", annotations=(tmp_path / "some.cls",),
        folders=True,
    )  # fmt: skip


def tags_of(evidence: list[Evidence]) -> dict[str, dict[int, list]]:
    return {each.name: {number: sorted(tags) for number, tags in each.tags.items()} for each in evidence}


def test_tags_of_each_source(catalogues: Catalogues) -> None:
    problems: list[Problem] = []
    assert tags_of(gather(FILES, catalogues, MAP, problems)) == {
        "annotation some": {0: [("Jazz", 0.7), ("Pop", 0.6)]},
        "title some": {1: [("Pop", pytest.approx(2 / 3)), ("Rock", pytest.approx(1 / 3))]},
        "folder": {2: [("jazz", 1.0)]},
        "mbtags": {
            0: [("american", pytest.approx(6.3)), ("jazz", pytest.approx(3.5)), ("pop", pytest.approx(1.8)),
                ("rock", pytest.approx(0.6))],
            1: [("pop", 3.0), ("rock", 1.0)],
        },
        "terms": {1: [("art rock", 1.0)]},
    }  # fmt: skip
    assert problems == []


def test_the_first_source_in_order_decides(catalogues: Catalogues) -> None:
    sources = judge(gather(FILES, catalogues, MAP, []), MAP, 0.5)
    labels, unlabelled = label(FILES, in_order(sources, KINDS), MAP.classes)
    rows = labels[["genre", "genre_id", "source", "confidence", "agree", "disagree"]].to_numpy().tolist()
    assert rows == [
        ["jazz", 1, "annotation some", pytest.approx(0.7 / 1.3, abs=1e-4), 1, 0],
        ["pop", 3, "title some", pytest.approx(2 / 3, abs=1e-4), 1, 1],
        ["jazz", 1, "folder", 1.0, 0, 0],
    ]
    assert json.loads(labels["tags"][0]) == ["Jazz", "Pop"] and not len(unlabelled)
    labels, unlabelled = label(FILES, in_order(sources, ["terms", "mbtags"]), MAP.classes)
    rows = labels[["path", "genre", "source"]].to_numpy().tolist()
    assert rows == [[MATCHED.path, "jazz", "mbtags"], [NAMED.path, "rock", "terms"]]
    assert unlabelled.to_numpy().tolist() == [[UNKNOWN.path, "Nobody", "Nothing", "no source knows it"]]


def test_a_tie_of_matched_tracks_gives_no_label(catalogues: Catalogues) -> None:
    catalogues.match_scores.write_text(json.dumps({ONE: {"aa": 0.6}, THREE: {"aa": 0.6}}), encoding="utf-8")
    sources = judge(gather(FILES, catalogues, MAP, []), MAP, 0.5)
    _, unlabelled = label(FILES, in_order(sources, ["annotation"]), MAP.classes)
    assert unlabelled["reason"].tolist()[0] == "annotation some: undecided between jazz and pop"


def test_the_order_of_files_and_songs_changes_no_label(catalogues: Catalogues, tmp_path: Path) -> None:
    tags = [("Nobody", "rock"), ("Nobody", "pop"), ("Nobody", "rock"), ("Kate Bush", "rock")]
    songs = [
        Track(f"TRDDDDD{number:011d}", artist, f"Song {number}", ((tag, 1.0 + number), ("uk", 9.0)))
        for number, (artist, tag) in enumerate(tags)
    ]
    both, results = replace(catalogues, msd_h5=(*catalogues.msd_h5, tmp_path / "all.h5"), folders=False), []
    for seed in range(3):
        files = random.Random(seed).sample(FILES, len(FILES))
        write_aggregate(tmp_path / "all.h5", *random.Random(seed).sample(songs, len(songs)))
        labels, _ = label(files, in_order(judge(gather(files, both, MAP, []), MAP, 0.5), KINDS), MAP.classes)
        results.append(labels.set_index("path").sort_index()[["genre", "source", "confidence"]].to_csv())
    assert len(set(results)) == 1 and "Nobody" in results[0]


def test_lmd_matched_folders_name_the_track(catalogues: Catalogues) -> None:
    file = MidiFile(f"A/A/A/{ONE}/{'a' * 32}.mid", "", "", "a" * 32, ONE)
    assert tags_of(gather([file], Catalogues(catalogues.msd_h5), MAP, []))["mbtags"] == {
        0: [("american", 9.0), ("jazz", 5.0)]
    }


def test_sources_of_one_name_are_numbered(catalogues: Catalogues, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(json.dumps({"some": {"cc": ["Rock"]}}), encoding="utf-8")
    both = replace(catalogues, midi_genre_map=tmp_path / "map.json", annotations=catalogues.annotations * 2)
    names = [each.name for each in gather(FILES, both, MAP, [])]
    annotations = ["annotation some", "annotation some 2", "title some", "annotation some 3", "title some 2"]
    assert names == [*annotations, "folder", "mbtags", "terms"]


def test_md5_sums_of_files_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(b"")
    os.mkfifo(tmp_path / "b.mid")
    files = [UNKNOWN._replace(path=f"{name}.mid", md5="") for name in "abc"]
    sums = [file.md5 for file in with_md5([*files, NAMED], tmp_path)]
    assert sums == ["d41d8cd98f00b204e9800998ecf8427e", "", "", "bb"]
