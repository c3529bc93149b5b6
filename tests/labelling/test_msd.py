"""Tracks of the Million Song Dataset are read from HDF5 files of every layout, and damage is reported."""

import os
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pytest
from msd_files import METADATA, write_aggregate, write_summary

from common.errors import UserError
from labelling import msd
from labelling.msd import Problem, Track, iter_tracks

QUEEN = Track("TRAAAAA000000000A1", "Queen", "Flash", (("rock", 5), ("british", 1)), (("glam rock", 1), ("pop", 0.5)))
BJORK = Track("TRAAAAB000000000B2", "Björk", "Jóga", (), (("trip hop", 0.75),))
ABBA = Track("TRABAAA000000000C3", "ABBA", "Eagle", (("pop", 9), ("europop", 3), ("swedish", 2)), ())
SONGS = [QUEEN, BJORK, ABBA]
SECRET, TAGS = "/etc/hostname", "musicbrainz/artist_mbtags"


def read(path: Path, **options) -> tuple[list[Track], list[Problem]]:
    problems: list[Problem] = []
    return list(iter_tracks(path, problems, **options)), problems


def write_songs(folder: Path) -> Path:
    """One file per song, in the dataset's tree of folders; the first path in order is written last."""
    for song in SONGS[::-1]:
        write_aggregate(folder / song.track_id[2] / song.track_id[3] / song.track_id[4] / f"{song.track_id}.h5", song)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three songs and an unreadable file."""
    folder = write_songs(tmp_path / "songs")
    (folder / "A" / "bad.h5").write_bytes(b"\x89HDF")
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the HDF5 files that were opened."""
    names, h5_file = [], h5py.File
    monkeypatch.setattr(msd.h5py, "File", lambda path, mode: names.append(path.name) or h5_file(path, mode))
    return names


@pytest.mark.parametrize("songs", [SONGS, *([song] for song in SONGS), [QUEEN._replace(mbtags=(), terms=())]])
@pytest.mark.parametrize("rows", [1, 2, 4096])
def test_a_file_of_one_or_many_songs(songs: list[Track], rows: int, tmp_path: Path, monkeypatch) -> None:
    """The middle song has no MusicBrainz tags, the last has several; blocks of rows end between any two songs."""
    monkeypatch.setattr(msd, "_ROWS", rows)
    assert read(write_aggregate(tmp_path / "many.h5", *songs)) == (songs, [])
    without = [song._replace(mbtags=(), terms=()) for song in songs]
    tracks, ((_, reason),) = read(write_summary(tmp_path / "summary.h5", *songs))
    assert tracks == without and reason.startswith(f"after {len(songs)} songs: no tags, as in all summary files")


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(write_songs(tmp_path / "a")) == (SONGS, [])
    walk = os.walk
    monkeypatch.setattr(msd.os, "walk", lambda path: reversed(list(walk(path))))
    assert read(tmp_path / "a") == (SONGS, [])
    write_aggregate(tmp_path / "b" / "a.h5", *SONGS[:2])
    write_aggregate(tmp_path / "b" / "b" / "c.H5", ABBA)
    (tmp_path / "b" / "notes.txt").write_text("not HDF5")
    assert read(tmp_path / "b") == (SONGS, [])


@pytest.mark.parametrize(("name", "expected"), [("TRAAAAA000000000A1", "TRAAAAA000000000A1"), ("TRACK", "")])
def test_the_file_name_replaces_a_missing_track_id(name: str, expected: str, tmp_path: Path) -> None:
    path = write_aggregate(tmp_path / f"{name}.h5", Track("", "Queen", "Flash"))
    assert read(path)[0][0].track_id == expected
    for others in (np.zeros(1, [("tempo", "f8")]), None):
        overwrite("analysis/songs", others)(path)
        assert read(path)[0][0].track_id == expected
    many = write_aggregate(path, QUEEN._replace(track_id=""), ABBA)
    assert [track.track_id for track in read(many)[0]] == ["", ABBA.track_id], "not for files of several songs"


@pytest.mark.parametrize("more", [[], [QUEEN]], ids=["one song", "two songs"])
def test_votes_and_weights(more: list[Track], tmp_path: Path) -> None:
    """A count that is not positive is one vote, weights lie in [0, 1], empty tags are left out."""
    mbtags = (("rock", 0), ("pop", -1), ("", 7), ("jazz", 2))
    terms = (("house", float("nan")), ("techno", -1), ("ambient", 1.5), ("disco", 0.5))
    path = write_aggregate(tmp_path / "one.h5", Track("", "A", "B", mbtags, terms), *more)
    track = read(path)[0][0]
    assert track.mbtags == (("rock", 1), ("pop", 1), ("jazz", 2))
    assert track.terms == (("house", 0), ("techno", 0), ("ambient", 1), ("disco", 0.5))
    for counts in (np.array([], "i4"), None):
        overwrite("musicbrainz/artist_mbtags_count", counts)(path)
        assert read(path)[0][0].mbtags == (("rock", 1), ("pop", 1), ("jazz", 1))
    overwrite("metadata/artist_terms_weight", None)(path)
    assert {weight for _, weight in read(path)[0][0].terms} == {1}


def test_texts_are_cleaned(tmp_path: Path) -> None:
    """Trailing blanks are cut. Bytes that are not UTF-8 are replaced: a full field may end within a letter."""
    path = write_aggregate(tmp_path / "one.h5", Track("", "Queen \0 ", "x" + 600 * "é", [("rock ", 1)], BJORK.terms))
    overwrite("metadata/artist_terms", ["trip höp"])(path)  # of variable length
    expected = Track("", "Queen", "x" + 511 * "é" + "\ufffd", (("rock", 1),), (("trip höp", 0.75),))
    assert read(path) == ([expected], [])


def overwrite(name: str, content: object):
    """Return a change of a file: this dataset gets this content; None deletes it, {} makes it a group."""

    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file[name]
            if isinstance(content, dict):
                file.create_group(name)
            elif content is not None:
                file[name] = content

    return change


def made(name: str, make):
    """Return a change of a file: `make(file, name)` makes this dataset anew."""

    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file[name]
            make(file, name)

    return change


def dataset(*facts: object, name: str = TAGS, **more: object):
    return made(name, lambda file, name: file.create_dataset(name, *facts, **more))


def virtual(file: h5py.File, name: str) -> None:
    layout = h5py.VirtualLayout((5,), "S256")
    layout[:] = h5py.VirtualSource(SECRET, "x", (5,))
    file.create_virtual_dataset(name, layout)


def set_index(group: str, name: str, values: list[int]):
    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            songs = file[f"{group}/songs"][:]
            songs[name] = values
            file[f"{group}/songs"][:] = songs

    return change


def damage_chunk(path: Path, name: str = "metadata/songs", number: int = 0) -> None:
    with h5py.File(path, "r") as file:
        chunk = file[name].id.get_chunk_info(number)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)


DAMAGE = {
    "empty": (lambda path: path.write_bytes(b""), "open file"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "truncated file"),
    "chunk": (damage_chunk, "read data"),
    "link": (lambda path: (path.unlink(), path.symlink_to("nowhere")), "No such file"),
    "other groups": (overwrite("metadata", None), "no songs in metadata/songs"),
    "group": (overwrite("metadata/songs", {}), "no attribute"),
    "no table": (overwrite("metadata/songs", [1, 2, 3]), "no songs in metadata/songs"),
    "scalar": (overwrite("metadata/songs", np.zeros((), METADATA)), "scalar"),
    "no title": (overwrite("metadata/songs", np.zeros(3, METADATA[["artist_name", "idx_artist_terms"]])), "title"),
    "numbers": (overwrite("musicbrainz/artist_mbtags", np.arange(5)), "expected text, not int"),
    "texts": (overwrite("musicbrainz/artist_mbtags_count", ["a"] * 5), "could not convert"),
    "plane": (overwrite("metadata/artist_terms", np.full((3, 2), b"a")), "expected text, not list"),
    "too few": (overwrite("metadata/artist_terms_weight", [0.5]), "differ in length"),
    "too few ids": (overwrite("analysis/songs", np.zeros(2, [("track_id", "S32")])), "differ in length"),
    "pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "not a regular file"),
    "external link": (overwrite(TAGS, h5py.ExternalLink(SECRET, "x")), "a link to another place"),
    "soft link": (overwrite(TAGS, h5py.SoftLink("/metadata/artist_terms")), "a link to another place"),
    "external": (dataset(5, "S3", external=[(SECRET, 0, 15)]), "in another file"),
    "virtual": (made(TAGS, virtual), "in another file"),
    "many tags": (dataset(10**7, "S256", chunks=(64,)), "declares more than the file can hold"),
    "many songs": (dataset(10**10, METADATA, name="metadata/songs", chunks=(64,)), "declares more than the file"),
    "large chunk": (dataset(5, "S256", chunks=(10**7,), maxshape=(None,)), "declares more than the file can hold"),
    "texts of any length": (dataset(data=["a" * 9999] * 999), "declares more than the file can hold"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_skipped_and_reported(tmp_path: Path, damage: str) -> None:
    change, reason = DAMAGE[damage]
    write_songs(tmp_path)
    bad = write_aggregate(tmp_path / "A" / "bad.h5", *SONGS)
    change(bad)
    tracks, problems = read(tmp_path)
    assert tracks == SONGS and [problem.path for problem in problems] == [str(bad)]
    assert reason in problems[0].reason and "\n" not in problems[0].reason
    if bad.is_file():
        assert read(bad) == ([], problems), "the same for a single file"


@pytest.mark.parametrize(("change", "kept"), [
    (set_index("metadata", "idx_artist_terms", [0, 2, 3, 99]), 1),
    (set_index("metadata", "idx_artist_terms", [0, 3, 2, 3]), 0),
    (set_index("metadata", "idx_artist_terms", [-1, 2, 3, 3]), 0),
])  # fmt: skip
def test_songs_without_a_sound_index_have_no_tags(change, kept: int, tmp_path: Path) -> None:
    change(path := write_aggregate(tmp_path / "many.h5", *SONGS, QUEEN))
    tracks, ((_, reason),) = read(path)
    assert tracks == [song if k < kept else song._replace(terms=()) for k, song in enumerate([*SONGS, QUEEN])]
    assert reason.endswith(f"metadata/artist_terms does not fit it: no such tags of songs after the first {kept}")
    overwrite("musicbrainz/songs", None)(path)
    assert [track.artist for track in read(path)[0]] == ["Queen", "Björk", "ABBA", "Queen"]


def test_songs_before_the_damage_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    songs = [QUEEN._replace(mbtags=tuple((f"{number} {i}", 1.0) for i in range(40))) for number in range(4)]
    path = write_aggregate(tmp_path / "many.h5", *songs)
    damage_chunk(path, "musicbrainz/artist_mbtags", 2)  # tags 128 to 191, of the last song
    monkeypatch.setattr(msd, "_ROWS", 1)
    tracks, ((_, reason),) = read(path)
    assert tracks == songs[:3] and reason.startswith("after 3 songs: ")


def test_nothing_to_read(tmp_path: Path) -> None:
    for path, message in [(tmp_path / "missing", "no such file or folder; name"), (tmp_path, "no file there ends in")]:
        with pytest.raises(UserError, match=f"^{path}: {message}"):
            read(path)


def test_the_cache_is_read_instead_of_the_files(tmp_path: Path, folder: Path, opened: list[str]) -> None:
    (folder / os.fsdecode(b"\xff.h5")).write_bytes(b"")  # not Unicode
    first = read(folder, cache=tmp_path / "cache")
    assert first == read(folder) and first[0] == SONGS and len(first[1]) == 2 and len(opened) == 10
    assert read(folder, cache=tmp_path / "cache") == first
    tracks, problems = read(moved := folder.rename(tmp_path / "moved"), cache=tmp_path / "cache")
    assert tracks == SONGS and problems[0].path == str(moved / "A" / "bad.h5") and len(opened) == 10
    write_aggregate(tmp_path / "many.h5", *SONGS)
    assert read(tmp_path / "many.h5", cache=tmp_path / "none") == (SONGS, []) and not (tmp_path / "none").exists()


def test_a_change_makes_the_cache_useless(tmp_path: Path, folder: Path, opened: list[str], monkeypatch) -> None:
    cache = tmp_path / "cache"
    read(folder, cache=cache)
    song, other = folder / "A" / "A" / "A" / f"{QUEEN.track_id}.h5", QUEEN._replace(artist="Kween")
    write_aggregate(song, other)
    os.utime(song, ns=(1, 1))
    assert read(folder, cache=cache)[0] == [other, BJORK, ABBA]
    for change in (
        lambda: song.rename(song.with_name("TRZZZZZ000000000Z9.h5")), (folder / "A" / "bad.h5").unlink,
        lambda: monkeypatch.setattr(msd, "_READER", -1),
    ):  # fmt: skip
        change()
        opened.clear()
        assert len(read(folder, cache=cache)[0]) == 3 and opened


@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: content[:-1], lambda content: content.replace(b"Queen", b"Kween"),
    lambda content: content[content.index(b"\n") + 1 :], lambda content: b"\xff" + content,
])  # fmt: skip
def test_a_damaged_cache_is_replaced(tmp_path: Path, folder: Path, opened: list[str], damage) -> None:
    first = read(folder, cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").glob("*.jsonl")
    content = kept.read_bytes()
    kept.write_bytes(damage(content))
    opened.clear()
    assert read(folder, cache=tmp_path / "cache") == first and len(opened) == 4 and kept.read_bytes() == content


def test_an_interrupted_call_leaves_no_cache(tmp_path: Path, folder: Path) -> None:
    tracks = iter_tracks(folder, [], cache=tmp_path / "cache")
    assert list(islice(tracks, 2)) == SONGS[:2]
    del tracks
    assert list((tmp_path / "cache").iterdir()) == []
