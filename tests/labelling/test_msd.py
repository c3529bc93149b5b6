"""Metadata of the Million Song Dataset, out of HDF5 files of every layout and state."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pytest
from msd_files import METADATA, write_aggregate, write_single, write_summary

from common.errors import UserError
from labelling import msd
from labelling.msd import Problem, Track, iter_tracks

QUEEN = Track("TRAAAAA000000000A1", "Queen", "Flash", (("rock", 5), ("british", 1)), (("glam rock", 1), ("pop", 0.5)))
BJORK = Track("TRAAAAB000000000B2", "Björk", "Jóga", (), (("trip hop", 0.75),))
ABBA = Track("TRABAAA000000000C3", "ABBA", "Eagle", (("pop", 9), ("europop", 3), ("swedish", 2)), ())
SONGS = [QUEEN, BJORK, ABBA]


def read(path: Path, **options) -> tuple[list[Track], list[Problem]]:
    problems: list[Problem] = []
    return list(iter_tracks(path, problems, **options)), problems


def write_songs(folder: Path, songs: list[Track] = SONGS) -> Path:
    """The songs in a file each, in a tree as that of the dataset."""
    for song in songs:
        write_single(folder / song.track_id[2] / song.track_id[3] / song.track_id[4] / f"{song.track_id}.h5", *song)
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the HDF5 files that were opened."""
    names: list[str] = []
    true_file = h5py.File

    def file(path: Path, mode: str) -> h5py.File:
        names.append(path.name)
        return true_file(path, mode)

    monkeypatch.setattr(msd.h5py, "File", file)
    return names


@pytest.mark.parametrize("song", [*SONGS, QUEEN._replace(mbtags=(), terms=())], ids=lambda song: song.artist)
def test_a_file_of_one_song(tmp_path: Path, song: Track) -> None:
    assert read(write_single(tmp_path / "one.h5", *song)) == ([song], [])


def test_a_file_of_many_songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The middle song has no tags of MusicBrainz, the last has several; slices end anywhere between songs."""
    path = write_aggregate(tmp_path / "many.h5", SONGS)
    assert read(path) == (SONGS, [])
    for rows in (1, 2, 3):
        monkeypatch.setattr(msd, "_ROWS", rows)
        assert read(path) == (SONGS, [])


def test_a_long_file(tmp_path: Path) -> None:
    songs = [
        Track(f"TR{n:016}", f"artist {n}", f"title {n}", (("tag", n),) * (n % 3), ((f"term {n}", 0.5),) * (n % 2))
        for n in range(1, 2 * msd._ROWS + 2)
    ]  # fmt: skip
    assert read(write_aggregate(tmp_path / "long.h5", songs)) == (songs, [])


def test_a_summary_has_no_tags(tmp_path: Path) -> None:
    without = [song._replace(mbtags=(), terms=()) for song in SONGS]
    assert read(write_summary(tmp_path / "summary.h5", SONGS)) == (without, [])
    assert read(write_summary(tmp_path / "one.h5", SONGS[:1])) == (without[:1], [])


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = write_songs(tmp_path / "there")
    back = write_songs(tmp_path / "back", SONGS[::-1])
    assert read(there) == read(back) == (SONGS, [])
    walk = os.walk
    monkeypatch.setattr(msd.os, "walk", lambda path: reversed(list(walk(path))))
    assert read(there) == (SONGS, [])


def test_a_folder_may_hold_files_of_every_kind(tmp_path: Path) -> None:
    write_aggregate(tmp_path / "a.h5", SONGS[:2])
    write_single(tmp_path / "b" / "c.H5", *ABBA)
    (tmp_path / "b" / "notes.txt").write_text("not HDF5")
    assert read(tmp_path) == (SONGS, [])


@pytest.mark.parametrize("name, expected", [("TRAAAAA000000000A1", "TRAAAAA000000000A1"), ("TRACK", "")])
def test_the_file_name_tells_a_missing_track_id(tmp_path: Path, name: str, expected: str) -> None:
    path = write_single(tmp_path / f"{name}.h5", "", "Queen", "Flash")
    assert read(path)[0][0].track_id == expected
    for others in (np.zeros(1, [("tempo", "f8")]), None):
        overwrite("analysis/songs", others)(path)
        assert read(path)[0][0].track_id == expected
    many = write_aggregate(path, [QUEEN._replace(track_id=""), ABBA])
    assert [track.track_id for track in read(many)[0]] == ["", ABBA.track_id], "the name is that of no single song"


@pytest.mark.parametrize("write", [write_single, lambda path, *song: write_aggregate(path, [Track(*song), QUEEN])])
def test_numbers_of_tags(tmp_path: Path, write) -> None:
    """No positive count is one vote, weights are 0 to 1, an empty tag is none."""
    mbtags = (("rock", 0), ("pop", -1), ("", 7), ("jazz", 2))
    terms = (("house", float("nan")), ("techno", -1), ("ambient", 1.5), ("disco", 0.5))
    path = write(tmp_path / "one.h5", "", "A", "B", mbtags, terms)
    track = read(path)[0][0]
    assert track.mbtags == (("rock", 1), ("pop", 1), ("jazz", 2))
    assert track.terms == (("house", 0), ("techno", 0), ("ambient", 1), ("disco", 0.5))
    with h5py.File(path, "r+") as file:
        del file["musicbrainz/artist_mbtags_count"], file["metadata/artist_terms_weight"]
    track = read(path)[0][0]
    assert track.mbtags == (("rock", 1), ("pop", 1), ("jazz", 1))
    assert {weight for _, weight in track.terms} == {1}
    with h5py.File(path, "r+") as file:
        file["musicbrainz/artist_mbtags_count"] = np.array([], "i4")
    assert read(path)[0][0] == track


def test_texts_are_mended(tmp_path: Path) -> None:
    """Spaces at the end go, what is no UTF-8 is replaced: a field that is full may end within a letter."""
    path = write_single(tmp_path / "one.h5", "", "Queen \0 ", "x" + 600 * "é", [("rock ", 1)])
    assert read(path)[0] == [Track("", "Queen", "x" + 511 * "é" + "\ufffd", (("rock", 1),), ())]


def test_texts_of_other_writers(tmp_path: Path) -> None:
    path = write_single(tmp_path / "one.h5", *BJORK)
    with h5py.File(path, "r+") as file:
        del file["metadata/artist_terms"]
        file["metadata/artist_terms"] = ["trip höp"]  # of variable length
    assert read(path)[0] == [BJORK._replace(terms=(("trip höp", 0.75),))]


def overwrite(name: str, content: object):
    """A change to a file: this dataset gets this content; None for none, {} for a group instead."""

    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file[name]
            if isinstance(content, dict):
                file.create_group(name)
            elif content is not None:
                file[name] = content

    return change


def set_index(group: str, name: str, values: list[int]):
    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            songs = file[f"{group}/songs"][:]
            songs[name] = values
            file[f"{group}/songs"][:] = songs

    return change


def damage_chunk(path: Path) -> None:
    with h5py.File(path, "r") as file:
        chunk = file["metadata/songs"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)


DAMAGE = {
    "empty": (lambda path: path.write_bytes(b""), "open file"),
    "text": (lambda path: path.write_text("not HDF5"), "file signature not found"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "truncated file"),
    "chunk": (damage_chunk, "read data"),
    "link": (lambda path: (path.unlink(), path.symlink_to("nowhere")), "No such file"),
    "other groups": (overwrite("metadata", None), "no table metadata/songs"),
    "group": (overwrite("metadata/songs", {}), "metadata/songs is no table or array"),
    "no table": (overwrite("metadata/songs", [1, 2, 3]), "no table metadata/songs"),
    "no song": (overwrite("metadata/songs", np.zeros(0, METADATA)), "no song"),
    "scalar": (overwrite("metadata/songs", np.zeros((), METADATA)), "scalar"),
    "no title": (overwrite("metadata/songs", np.zeros(3, METADATA[["artist_name"]])), "no column title"),
    "numbers": (overwrite("musicbrainz/artist_mbtags", np.arange(5)), "a text was expected, not int"),
    "texts": (overwrite("musicbrainz/artist_mbtags_count", ["a"] * 5), "could not convert"),
    "plane": (overwrite("metadata/artist_terms", np.full((3, 2), b"a")), "a text was expected, not list"),
    "too few": (overwrite("metadata/artist_terms_weight", [0.5]), "differ in length"),
    "too few ids": (overwrite("analysis/songs", np.zeros(2, [("track_id", "S32")])), "differ in length"),
    "no index": (overwrite("musicbrainz/songs", None), "no column idx_artist_mbtags"),
    "index": (set_index("metadata", "idx_artist_terms", [0, 3, 2]), "the index of metadata/artist_terms does not fit"),
    "far index": (set_index("metadata", "idx_artist_terms", [0, 2, 4]), "the index of metadata/artist_terms"),
    "index below 0": (set_index("musicbrainz", "idx_artist_mbtags", [-1, 2, 2]), "the index of musicbrainz"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_skipped_and_told(tmp_path: Path, damage: str) -> None:
    change, reason = DAMAGE[damage]
    write_songs(tmp_path)
    bad = write_aggregate(tmp_path / "A" / "bad.h5", SONGS)
    change(bad)
    tracks, problems = read(tmp_path)
    assert tracks == SONGS
    assert [problem.path for problem in problems] == [str(bad)]
    assert reason in problems[0].reason
    assert "\n" not in problems[0].reason
    if bad.is_file():
        assert read(bad) == ([], problems), "alike if it is the only one"


def test_a_file_that_breaks_off_keeps_what_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_aggregate(tmp_path / "many.h5", SONGS)
    set_index("musicbrainz", "idx_artist_mbtags", [0, 2, 99])(path)
    monkeypatch.setattr(msd, "_ROWS", 1)
    tracks, ((_, reason),) = read(path)
    assert tracks == SONGS[:1]
    assert reason.startswith("after 1 songs: the index of")


def test_nothing_to_read(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for path, message in [(missing, "no such file or folder; name"), (tmp_path, "no file there ends in .h5; name")]:
        with pytest.raises(UserError, match=message) as error:
            iter_tracks(path, [])  # at once, not with the first track
        assert str(error.value).startswith(f"{path}: ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three songs and a file that cannot be read."""
    folder = write_songs(tmp_path / "songs")
    (folder / "A" / "bad.h5").write_bytes(b"\x89HDF")
    return folder


def test_a_cache_is_read_instead_of_the_files(tmp_path: Path, folder: Path, opened: list[str]) -> None:
    first = read(folder, cache=tmp_path / "cache")
    assert first == read(folder)
    assert len(first[1]) == 1
    assert len(opened) == 2 * 4
    assert read(folder, cache=tmp_path / "cache") == first
    assert len(opened) == 2 * 4
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.suffix == ".jsonl"
    assert "Björk" in kept.read_text(encoding="utf-8")
    moved = folder.rename(tmp_path / "moved")
    tracks, (problem,) = read(moved, cache=tmp_path / "cache")
    assert tracks == SONGS
    assert problem.path == str(moved / "A" / "bad.h5")
    assert len(opened) == 2 * 4


def test_a_cache_ends_with_a_change(tmp_path: Path, folder: Path, opened: list[str], monkeypatch) -> None:
    cache = tmp_path / "cache"
    read(folder, cache=cache)
    other = QUEEN._replace(artist="Kween")
    song = folder / "A" / "A" / "A" / f"{QUEEN.track_id}.h5"
    write_single(song, *other)
    os.utime(song, ns=(1, 1))
    assert read(folder, cache=cache)[0] == [other, BJORK, ABBA]
    song.rename(song.with_name("TRZZZZZ000000000Z9.h5"))
    opened.clear()
    assert len(read(folder, cache=cache)[0]) == 3
    (folder / "A" / "bad.h5").unlink()
    assert read(folder, cache=cache)[1] == []
    assert len(opened) == 4 + 3
    monkeypatch.setattr(msd, "_READER", -1)
    read(folder, cache=cache)
    assert len(opened) == 4 + 3 + 3


@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: content[:-1], lambda content: content[: content.rindex(b"{")],
    lambda content: content.replace(b"Queen", b"Kween"), lambda content: content + b"{}\n",
    lambda content: content[content.index(b"\n") + 1 :], lambda content: b"\xff" + content,
])  # fmt: skip
def test_a_damaged_cache_is_not_trusted(tmp_path: Path, folder: Path, opened: list[str], damage) -> None:
    first = read(folder, cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    content = kept.read_bytes()
    kept.write_bytes(damage(content))
    opened.clear()
    assert read(folder, cache=tmp_path / "cache") == first
    assert len(opened) == 4
    assert kept.read_bytes() == content, "mended"


def test_a_cache_is_written_when_all_is_read(tmp_path: Path, folder: Path) -> None:
    tracks = iter_tracks(folder, [], cache=tmp_path / "cache")
    assert list(islice(tracks, 2)) == SONGS[:2]
    del tracks
    assert list((tmp_path / "cache").iterdir()) == []


def test_names_that_are_no_unicode(tmp_path: Path, folder: Path) -> None:
    try:
        (folder / os.fsdecode(b"\xff.h5")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes none")
    first = read(folder, cache=tmp_path / "cache")
    assert first == read(folder, cache=tmp_path / "cache")
    assert len(first[1]) == 2


def test_a_single_file_is_not_cached(tmp_path: Path) -> None:
    path = write_aggregate(tmp_path / "many.h5", SONGS)
    assert read(path, cache=tmp_path / "cache") == (SONGS, [])
    assert not (tmp_path / "cache").exists()


def test_progress_is_shown_if_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_songs(tmp_path / "songs")
    read(tmp_path / "songs")
    assert capsys.readouterr().err == ""
    read(tmp_path / "songs", progress=True)
    assert "3/3" in capsys.readouterr().err
