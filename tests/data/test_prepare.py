"""From a folder of MIDI and a label CSV to a roll store: labels, splits, the store, and prepare_data.py."""

import csv
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from midi_files import DRUMS, TICKS_PER_FRAME, Message, example_song, midi, off, on, write

import prepare_data
from common.errors import UserError, run_command
from data import prepare
from data.labels import SPLITS, Label, read_labels, resolve_path, without_version
from data.prepare import Settings, prepare_store, read_songs, summary
from data.song import read_song
from data.splits import assign_splits
from data.store import FORMAT_VERSION, RollStore

ROOT = Path(__file__).resolve().parents[2]
REPEATABLE = settings(derandomize=True, deadline=None, database=None)
ARRAYS = ("frames", "onset_seconds", "pitch", "velocity")

# Labels


def labels_of(tmp_path: Path, text: str | bytes) -> tuple[list[Label], dict[int, str], list[tuple[str, str]]]:
    """What `read_labels` makes of this text; rejected rows as (path, reason)."""
    content = text if isinstance(text, bytes) else text.encode()
    labels, names, rejected = read_labels(write(tmp_path / "labels.csv", content))
    return labels, names, [(row.path, row.reason) for row in rejected]


def test_the_published_layout_of_labels(tmp_path: Path) -> None:
    labels, names, rejected = labels_of(
        tmp_path,
        "\ufeffartist,title,path,mbtags,genre,genre_id\r\n"
        "ABBA,Waterloo,clean_midi\\ABBA\\Waterloo.mid,\"['pop', 'disco']\",pop,0\r\n"
        '"Earth, Wind & Fire","The ""Best"" Song",clean_midi\\Earth\\Best.1.mid,,soul,1\r\n'
        "Björk,Jóga,clean_midi\\Björk\\Jóga.mid,[],pop,0.0\r\n",
    )
    assert labels == [
        Label("clean_midi/ABBA/Waterloo.mid", 0, "ABBA", "Waterloo", None),
        Label("clean_midi/Earth/Best.1.mid", 1, "Earth, Wind & Fire", 'The "Best" Song', None),
        Label("clean_midi/Björk/Jóga.mid", 0, "Björk", "Jóga", None),
    ]
    assert names == {0: "pop", 1: "soul"}
    assert rejected == []


def test_the_least_that_labels_need(tmp_path: Path) -> None:
    labels, names, rejected = labels_of(
        tmp_path, "genre_id, path\n2, rock/Queen/Innuendo.2.MID\n0,one.midi\n0, no_suffix\n"
    )
    assert labels == [
        Label("rock/Queen/Innuendo.2.MID", 2, "Queen", "Innuendo.2", None),
        Label("one.midi", 0, "", "one", None),
        Label("no_suffix", 0, "", "no_suffix", None),
    ]
    assert names == {}
    assert rejected == []


def test_splits_in_the_labels(tmp_path: Path) -> None:
    rows = [("a", "train"), ("b", "Val"), ("c", "valid"), ("d", " validation "), ("e", "TEST"), ("f", "")]
    text = "path,genre_id,split\n" + "".join(f"{name}.mid,0,{split}\n" for name, split in rows)
    assert [label.split for label in labels_of(tmp_path, text)[0]] == ["train", "val", "val", "val", "test", None]


@pytest.mark.parametrize(
    ("row", "path", "reason"),
    [
        ("b.mid,rock,", "b.mid", "genre_id 'rock' is not a whole number of 0 or more (line 3 of labels.csv)"),
        ("b.mid,-1,", "b.mid", "genre_id '-1' is not a whole number of 0 or more (line 3 of labels.csv)"),
        ("b.mid,1.5,", "b.mid", "genre_id '1.5' is not a whole number of 0 or more (line 3 of labels.csv)"),
        ("b.mid,,", "b.mid", "genre_id '' is not a whole number of 0 or more (line 3 of labels.csv)"),
        ("b.mid", "b.mid", "genre_id None is not a whole number of 0 or more (line 3 of labels.csv)"),
        (" ,0,", "", "no path (line 3 of labels.csv)"),
        ("x/a.mid,1,", "x/a.mid", "listed more than once (line 3 of labels.csv)"),
        ("x\\a.mid,0,", "x/a.mid", "listed more than once (line 3 of labels.csv)"),
        ("b.mid,0,dev", "b.mid", "split 'dev' is none of train, val, test (line 3 of labels.csv)"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_alone(tmp_path: Path, row: str, path: str, reason: str) -> None:
    labels, _, rejected = labels_of(tmp_path, f"path,genre_id,split\nx/a.mid,0,\n{row}\nc.mid,0,\n")
    assert [label.path for label in labels] == ["x/a.mid", "c.mid"]
    assert rejected == [(path, reason)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no column genre_id and path"),
        ("path,genre\na.mid,pop\n", "no column genre_id;"),
        ("a.mid,0\nb.mid,1\n", "no column genre_id and path"),
        ("path,genre_id\n", "no usable row"),
        ("path,genre_id\na.mid,pop\n", "no usable row"),
        ("path,genre_id,genre\na,0,pop\nb,1,rock\nc,0,Pop\n", "genre_id 0 is called 'pop' and, in line 4, 'Pop'"),
        ("path,genre_id\nJóga.mid,0\n".encode("latin-1"), "not UTF-8"),
        ("path,genre_id\na.mid,0\n".encode("utf-16"), "not UTF-8"),
        # A quotation mark that is never closed.
        ('path,genre_id\n"a.mid,0\n' + 20_000 * "b.mid,0\n", "labels.csv"),
    ],
    ids=["empty", "no_id", "no_header", "no_row", "no_good_row", "two_names", "latin_1", "utf_16", "open_quote"],
)
def test_labels_that_cannot_be_used(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        labels_of(tmp_path, content)
    assert "labels.csv" in str(caught.value)


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_no_label_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no such label file"):
        read_labels(tmp_path / name)


def test_a_path_is_found_below_the_folder_and_without_its_first_folder(tmp_path: Path) -> None:
    file = write(tmp_path / "Artist" / "Title.mid", b"")
    assert resolve_path("Artist/Title.mid", tmp_path) == file
    assert resolve_path("clean_midi/Artist/Title.mid", tmp_path) == file
    assert resolve_path(str(file), tmp_path / "elsewhere") == file
    nested = write(tmp_path / "clean_midi" / "Artist" / "Title.mid", b"")
    assert resolve_path("clean_midi/Artist/Title.mid", tmp_path) == nested
    for missing in ("Artist/Other.mid", "Title.mid", "Artist", "a/b/Artist/Title.mid", "", "a\0b.mid"):
        assert resolve_path(missing, tmp_path) is None


@pytest.mark.parametrize(("on_disk", "in_csv"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC"), ("NFD", "NFD")])
def test_a_name_is_found_in_either_unicode_form(tmp_path: Path, on_disk: str, in_csv: str) -> None:
    name = "Sigur Rós/Ágætis byrjun.mid"
    file = write(tmp_path / unicodedata.normalize(on_disk, name), b"")
    for path in (name, f"clean_midi/{name}"):
        found = resolve_path(unicodedata.normalize(in_csv, path), tmp_path)
        assert found is not None
        assert found.samefile(file)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (("ABBA", "Waterloo"), ("Abba ", "WATERLOO.1"), True),
        (("ABBA", "Waterloo.2"), ("ABBA", "Waterloo (2)"), True),
        (("Björk", "Jóga"), (unicodedata.normalize("NFD", "björk"), unicodedata.normalize("NFD", "jóga")), True),
        (("Sting", "If  I Ever"), ("Sting", "If I Ever"), True),
        (("ABBA", "Waterloo"), ("Cher", "Waterloo"), False),
        (("ABBA", "Waterloo"), ("ABBA", "Waterloo live"), False),
        (("Prince", "1999"), ("Prince", "2000"), False),
        (("Chicago", "Suite (2) in C"), ("Chicago", "Suite (3) in C"), False),
    ],
)
def test_versions_of_a_song_have_one_key(first: tuple[str, str], second: tuple[str, str], same: bool) -> None:
    keys = [Label("any.mid", 0, artist, title, None).song_key for artist, title in (first, second)]
    assert (keys[0] == keys[1]) is same


# Splits


def split_each(names: list[str]) -> dict[str, str]:
    """Splits of songs of which no two are the same."""
    contents = [f"content of {name}" for name in names]
    return dict(zip(names, assign_splits(names, contents, [None] * len(names)), strict=True))


def test_the_shares_of_the_splits() -> None:
    splits = list(split_each([f"artist {number % 700} / title {number}" for number in range(5000)]).values())
    shares = {split: splits.count(split) / len(splits) for split in SPLITS}
    assert shares == pytest.approx({"train": 0.8, "val": 0.1, "test": 0.1}, abs=0.015)


def test_a_song_keeps_its_split_for_ever() -> None:
    """Another hash would move songs that published checkpoints were trained on into the test split."""
    splits = {
        "abba / waterloo": "train",
        "queen / innuendo": "val",
        "björk / jóga": "train",
        "prince / 1999": "train",
        "toto / africa": "val",
        "muse / uprising": "test",
    }
    assert split_each(list(splits)) == splits


def test_adding_songs_moves_none() -> None:
    names = [f"song {number}" for number in range(500)]
    before, after = split_each(names[::3]), split_each(names[::-1])
    assert before.items() <= after.items()
    assert set(before.values()) == set(SPLITS)


KEYS = st.integers(0, 30).map("song {}".format)
SONGS = st.lists(st.tuples(KEYS, st.integers(0, 30).map(str)), min_size=1, max_size=40)


def split_songs(songs: list[tuple[str, str]]) -> list[str]:
    keys, contents = zip(*songs, strict=True)
    return assign_splits(keys, contents, [None] * len(songs))


@REPEATABLE
@given(songs=SONGS)
def test_versions_and_copies_stay_together(songs: list[tuple[str, str]]) -> None:
    split_of: dict[str, str] = {}
    for (key, content), split in zip(songs, split_songs(songs), strict=True):
        assert split_of.setdefault(f"key {key}", split) == split
        assert split_of.setdefault(f"content {content}", split) == split


@REPEATABLE
@given(songs=SONGS, more=SONGS)
def test_a_new_copy_moves_songs_towards_training_alone(
    songs: list[tuple[str, str]], more: list[tuple[str, str]]
) -> None:
    before, after = split_songs(songs), split_songs(songs + more)
    for old, new in zip(before, after, strict=False):
        assert SPLITS.index(new) <= SPLITS.index(old)


@REPEATABLE
@given(songs=SONGS, order=st.randoms(use_true_random=False))
def test_the_order_of_songs_does_not_matter(songs: list[tuple[str, str]], order) -> None:
    places = list(range(len(songs)))
    order.shuffle(places)
    splits = split_songs(songs)
    assert split_songs([songs[place] for place in places]) == [splits[place] for place in places]


def test_a_copy_joins_two_songs_in_the_earlier_split() -> None:
    """A song to train and a song to test, found to be one by their content, are both trained on."""
    splits = split_each([f"song {number}" for number in range(100)])
    trained, tested = (next(name for name in splits if splits[name] == split) for split in ("train", "test"))
    assert assign_splits([trained, tested, tested], ["a", "a", "b"], [None] * 3) == ["train"] * 3


def test_a_given_split_wins() -> None:
    names = [f"song {number}" for number in range(30)]
    free = assign_splits(names, names, [None] * 30)
    wanted = [("test", None, "train")[number % 3] for number in range(30)]
    assert assign_splits(names, names, wanted) == [given or split for given, split in zip(wanted, free, strict=True)]


# The store


def write_labels(path: Path, rows: list[tuple]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "genre_id", "genre", "split"), *rows])
    return path


ROWS = [
    (f"{genre}/song {number}.mid", genre_id, genre, split)
    for genre_id, genre in enumerate(("slow", "fast"))
    for number, split in enumerate(SPLITS)
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with `midi` and `labels.csv`: the songs of `ROWS`, 6 seconds each."""
    for number, (path, genre_id, *_) in enumerate(ROWS):
        write(tmp_path / "midi" / path, example_song(genre_id, number, seconds=6))
    write_labels(tmp_path / "labels.csv", ROWS)
    return tmp_path


def make_store(corpus: Path, **options) -> tuple[RollStore, bool]:
    return prepare_store(corpus / "midi", corpus / "labels.csv", corpus / "store", workers=1, progress=False, **options)


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rejected_of(store: RollStore) -> dict[str, str]:
    with (store.folder / "rejected.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def song_arrays(store: RollStore) -> dict[str, tuple[np.ndarray, ...]]:
    return {
        row.path: (
            store.frames[row.frame_offset : row.frame_offset + row.n_frames],
            *(
                getattr(store, name)[row.note_offset : row.note_offset + row.n_notes]
                for name in ("onset_seconds", "pitch", "velocity")
            ),
        )
        for row in store.songs
    }


def test_the_store_holds_the_songs(corpus: Path) -> None:
    store, made = make_store(corpus)
    assert made
    assert store.genres == ["slow", "fast"]
    assert store.frames_per_second == 16
    assert store.genre_of_song.tolist() == [0, 0, 0, 1, 1, 1]
    assert [(row.path, row.genre_id, row.split) for row in store.songs] == [
        (path, genre_id, split) for path, genre_id, _, split in ROWS
    ]
    assert [(row.artist, row.title) for row in store.songs[:2]] == [("slow", "song 0"), ("slow", "song 1")]
    frames = notes = 0
    for row, arrays in zip(store.songs, song_arrays(store).values(), strict=True):
        assert (row.frame_offset, row.note_offset) == (frames, notes)
        song = read_song(corpus / "midi" / row.path)
        for name, array in zip(ARRAYS, arrays, strict=True):
            expected = getattr(song, name)
            assert array.dtype == expected.dtype
            np.testing.assert_array_equal(array, expected)
        frames, notes = frames + row.n_frames, notes + row.n_notes
        assert row.n_frames >= 96
        assert row.n_notes > 0
    assert len(store.frames) == frames
    assert len(store.onset_seconds) == len(store.pitch) == len(store.velocity) == notes
    assert len({row.content_hash for row in store.songs}) == len(ROWS)
    assert rejected_of(store) == {}
    assert (store.info["accepted"], store.info["rejected"]) == (6, 0)


def test_the_store_can_be_opened_again(corpus: Path) -> None:
    made, _ = make_store(corpus)
    opened = RollStore.open(str(corpus / "store"))
    assert opened.songs == made.songs
    assert opened.info == made.info
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(opened, name), getattr(made, name))


def lasting(frames: int, channel: int = 0) -> bytes:
    return midi([on(0, 60, 80, channel), off(frames * TICKS_PER_FRAME, 60, channel)])


def test_files_that_cannot_enter_are_listed_and_the_others_unaffected(corpus: Path) -> None:
    good = {path: [array.copy() for array in arrays] for path, arrays in song_arrays(make_store(corpus)[0]).items()}
    bad = {
        "bad/not midi.mid": (b"<html></html>", "not a MIDI file"),
        "bad/empty.mid": (b"", "not a MIDI file"),
        "bad/truncated.mid": (lasting(64)[:-3], "truncated"),
        "bad/short.mid": (lasting(31), "too short: 31 frames"),
        "bad/no notes.mid": (midi([]), "too short: 0 frames"),
        "bad/drums.mid": (lasting(64, DRUMS), "no pitched note"),
        "bad/long.mid": (lasting(16 * 61), "lasts 1 minutes"),
        "bad/missing.mid": (None, "no such file"),
        "bad/folder": (None, "no such file"),
    }
    for path, (content, _) in bad.items():
        if content is not None:
            write(corpus / "midi" / path, content)
    (corpus / "midi/bad/folder").mkdir()
    rows = [(path, 1, "fast", "train") for path in bad]
    twice = (ROWS[0][0], 0, "slow", "train")
    write_labels(corpus / "labels.csv", [*rows[:5], *ROWS[:4], *rows[5:], *ROWS[4:], twice, ("a.mid", "pop", "", "")])
    store, made = make_store(corpus, settings=Settings(max_minutes=1.0))
    assert made
    reasons = rejected_of(store)
    assert reasons.keys() == {*bad, ROWS[0][0], "a.mid"}
    for path, (_, reason) in bad.items():
        assert reason in reasons[path]
    assert "listed more than once" in reasons[ROWS[0][0]]
    assert "not a whole number" in reasons["a.mid"]
    assert (store.info["accepted"], store.info["rejected"]) == (6, 11)
    assert "6 files accepted, 11 rejected" in summary(store)
    arrays = song_arrays(store)
    assert list(arrays) == list(good)
    for path in good:
        for array, expected in zip(arrays[path], good[path], strict=True):
            np.testing.assert_array_equal(array, expected)


def test_a_song_of_one_window_is_long_enough(corpus: Path) -> None:
    write(corpus / "midi" / ROWS[0][0], lasting(32))
    store, _ = make_store(corpus)
    assert store.songs[0].n_frames == 32
    assert rejected_of(store) == {}


def test_copies_get_one_split_whatever_their_names(corpus: Path) -> None:
    """Copies may differ in the silence around the music, in velocities and in drums."""

    def song(silence: int, velocity: int, *drums: Message) -> bytes:
        pitches = (60, 64, 67, 72)
        notes = [message for pitch in pitches for message in (on(0, pitch, velocity), off(960, pitch))]
        notes[0].time = silence
        return midi(notes, list(drums))

    write(corpus / "midi/copies/original.mid", song(0, 80))
    for number in range(40):
        drums = [on(0, 36, 80, DRUMS), off(60 * number, 36, DRUMS)]
        write(corpus / f"midi/copies/{number}.mid", song(60 * number, 20 + number, *drums))
    names = ["original", *map(str, range(40))]
    write_labels(corpus / "labels.csv", [*ROWS, *((f"copies/{name}.mid", 0, "slow", "") for name in names)])
    copies = [row for row in make_store(corpus)[0].songs if row.path.startswith("copies/")]
    assert len(copies) == 41
    assert len({row.content_hash for row in copies}) == 1
    assert {row.split for row in copies} == {"train"}  # with so many names, one of them falls to training


def test_labels_name_the_genres_or_the_caller_does(corpus: Path) -> None:
    write_labels(corpus / "labels.csv", [(path, genre_id, "", split) for path, genre_id, _, split in ROWS])
    assert make_store(corpus)[0].genres == ["genre 0", "genre 1"]
    store, made = make_store(corpus, genres=["adagio", "presto"])
    assert made
    assert store.genres == ["adagio", "presto"]
    with pytest.raises(UserError, match="--genres names 1 genres, but the labels have a genre_id 1"):
        make_store(corpus, genres=["adagio"])


def test_a_genre_without_training_songs_is_refused_and_the_old_store_stays(corpus: Path) -> None:
    make_store(corpus)
    before = content_of(corpus / "store")
    write_labels(corpus / "labels.csv", [*ROWS[:3], *((path, 1, "fast", "test") for path, *_ in ROWS[3:])])
    with pytest.raises(UserError, match="no training song for fast"):
        make_store(corpus)
    assert content_of(corpus / "store") == before
    assert sorted(path.name for path in corpus.iterdir()) == ["labels.csv", "midi", "store"]
    write(corpus / "midi" / ROWS[3][0], b"damaged")
    write_labels(corpus / "labels.csv", ROWS)
    with pytest.raises(UserError, match=r"no training song for fast \(1 files were rejected, most often: not a MIDI"):
        make_store(corpus)
    assert content_of(corpus / "store") == before


@pytest.mark.parametrize(
    ("ids", "message"), [((0, 2), "no training song for genre 1"), ((0, 1000), "number the genres from 0")]
)
def test_a_gap_in_the_genre_ids_is_refused(corpus: Path, ids: tuple[int, int], message: str) -> None:
    write_labels(corpus / "labels.csv", [(path, ids[genre_id], "", split) for path, genre_id, _, split in ROWS])
    with pytest.raises(UserError, match=message):
        make_store(corpus)
    assert not (corpus / "store").exists()


def test_no_file_of_the_labels_is_there(corpus: Path) -> None:
    shutil.rmtree(corpus / "midi")
    with pytest.raises(UserError, match=r"none of the files .* is there, for example slow/song 0\.mid"):
        make_store(corpus)


def test_a_second_run_does_nothing(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = make_store(corpus)
    before = (corpus / "store").stat().st_mtime_ns, content_of(corpus / "store")
    monkeypatch.setattr(prepare, "read_songs", lambda *_: pytest.fail("files were read again"))
    os.utime(corpus / "labels.csv", (0, 0))
    second, made = make_store(corpus)
    assert not made
    assert second.fingerprint == first.fingerprint
    assert second.songs == first.songs
    assert before == ((corpus / "store").stat().st_mtime_ns, content_of(corpus / "store"))


def change_a_file(corpus: Path) -> dict:
    write(corpus / "midi" / ROWS[1][0], example_song(1, 99, seconds=7))
    return {}


def touch_a_file(corpus: Path) -> dict:
    os.utime(corpus / "midi" / ROWS[1][0], (0, 0))
    return {}


def remove_a_file(corpus: Path) -> dict:
    (corpus / "midi" / ROWS[1][0]).unlink()
    return {}


def change_a_label(corpus: Path) -> dict:
    write_labels(corpus / "labels.csv", [*ROWS[:5], (ROWS[5][0], 0, "slow", "val")])
    return {}


def change_a_split(corpus: Path) -> dict:
    write_labels(corpus / "labels.csv", [*ROWS[:5], (*ROWS[5][:3], "val")])
    return {}


def change_a_name(corpus: Path) -> dict:
    write_labels(
        corpus / "labels.csv", [(path, genre_id, f"very {genre}", split) for path, genre_id, genre, split in ROWS]
    )
    return {}


def add_a_label(corpus: Path) -> dict:
    write_labels(corpus / "labels.csv", [*ROWS, ("slow/missing.mid", 0, "slow", "")])
    return {}


def add_a_label_that_is_rejected(corpus: Path) -> dict:
    write_labels(corpus / "labels.csv", [*ROWS, ("slow/other.mid", "slow", "slow", "")])
    return {}


def change_settings(corpus: Path) -> dict:
    return {"settings": Settings(max_minutes=2.0)}


def change_the_reader(corpus: Path) -> dict:
    return {"settings": Settings(reader_version=999)}


def ask_for_it(corpus: Path) -> dict:
    return {"rebuild": True}


@pytest.mark.parametrize(
    "change",
    [
        *(change_a_file, touch_a_file, remove_a_file, change_a_label, change_a_split, change_a_name, add_a_label),
        *(add_a_label_that_is_rejected, change_settings, change_the_reader, ask_for_it),
    ],
)
def test_a_change_makes_the_store_anew(corpus: Path, change) -> None:
    make_store(corpus)
    options = change(corpus)
    changed, made = make_store(corpus, **options)
    assert made
    # The same as a store that was never another.
    fresh, _ = prepare_store(
        corpus / "midi", corpus / "labels.csv", corpus / "fresh", workers=1, progress=False, **options
    )
    assert content_of(changed.folder) == content_of(fresh.folder)
    assert not make_store(corpus, **{**options, "rebuild": False})[1]


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()], ids=["disk", "ctrl_c"])
@pytest.mark.parametrize("method", ["append", "finish"])
def test_an_interrupted_run_leaves_the_old_store(
    corpus: Path, method: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(corpus)
    before = content_of(corpus / "store")
    change_a_file(corpus)

    def interrupt(*_) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(prepare.StoreWriter, method, interrupt)
        with pytest.raises(type(error)):
            make_store(corpus)
    assert content_of(corpus / "store") == before
    assert RollStore.open(corpus / "store").songs
    assert sorted(path.name for path in corpus.iterdir()) == ["labels.csv", "midi", "store"]
    store, made = make_store(corpus)
    assert made
    assert store.songs[1].n_frames >= 7 * 16


def test_a_run_killed_midway_is_made_up_for(corpus: Path) -> None:
    """What such a run leaves is an unfinished folder beside the store."""
    write(corpus / "store.partial/frames.npy", b"half a file")
    store, made = make_store(corpus)
    assert made
    assert len(store.songs) == 6
    assert not (corpus / "store.partial").exists()


def test_a_folder_that_is_no_store_is_left_alone(corpus: Path) -> None:
    file = write(corpus / "store/diary.txt", b"dear diary")
    with pytest.raises(UserError, match="not empty and not a roll store"):
        make_store(corpus)
    with pytest.raises(UserError, match="not empty and not a roll store"):
        make_store(corpus, rebuild=True)
    assert file.read_bytes() == b"dear diary"
    assert sorted(path.name for path in corpus.iterdir()) == ["labels.csv", "midi", "store"]


def test_an_empty_folder_becomes_a_store(corpus: Path) -> None:
    (corpus / "store").mkdir()
    assert make_store(corpus)[1]


def test_a_folder_beside_the_store_is_left_alone(corpus: Path) -> None:
    make_store(corpus)
    shutil.copytree(corpus / "store", corpus / "store.old")
    kept = content_of(corpus / "store.old")
    change_a_file(corpus)
    assert make_store(corpus)[1]
    assert content_of(corpus / "store.old") == kept


def test_a_store_of_another_format_is_refused_and_made_anew(corpus: Path) -> None:
    make_store(corpus)
    path = corpus / "store/store.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(info | {"format_version": FORMAT_VERSION + 1, "fingerprint": "another"}))
    with pytest.raises(UserError, match=f"store format {FORMAT_VERSION + 1}, but this code reads {FORMAT_VERSION}"):
        RollStore.open(corpus / "store")
    assert make_store(corpus)[1]
    assert RollStore.open(corpus / "store").info == info


def test_there_is_no_store(tmp_path: Path) -> None:
    for folder in (tmp_path / "missing", tmp_path):
        with pytest.raises(UserError, match=r"no roll store there; make one with prepare_data\.py"):
            RollStore.open(folder)


def test_many_processes_read_the_same_as_one(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [corpus / "midi" / path for path, *_ in ROWS]
    files.insert(2, corpus / "labels.csv")
    files.insert(5, corpus / "missing.mid")
    alone = list(read_songs(files, workers=1))
    monkeypatch.setattr(prepare, "_MINIMUM_FILES_PER_WORKER", 1)
    monkeypatch.setattr(prepare, "_FILES_PER_TASK", 3)
    together = list(read_songs(files, workers=2))
    assert len(alone) == len(together) == 8
    assert [alone[place] for place in (2, 5)] == [together[place] for place in (2, 5)]
    assert "not a MIDI file" in alone[2]
    assert "No such file" in alone[5]
    for one, other in zip(alone, together, strict=True):
        if not isinstance(one, str):
            assert one[1] == other[1]
            for name in ARRAYS:
                np.testing.assert_array_equal(getattr(one[0], name), getattr(other[0], name))


def test_the_summary_counts_songs_and_windows(corpus: Path) -> None:
    for path, *_ in ROWS:
        write(corpus / "midi" / path, lasting(200))
    assert summary(make_store(corpus)[0]).splitlines() == [
        "genre           split       songs      T=32      T=64     T=128",
        *(
            f"{genre:<16}{split:<7}         1         6         3         1"
            for genre in ("slow", "fast")
            for split in SPLITS
        ),
        "6 files accepted, 0 rejected",
    ]


# prepare_data.py


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "prepare_data.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_script_makes_a_store_once(corpus: Path) -> None:
    write(corpus / "midi/bad.mid", b"bad")
    write_labels(corpus / "midi/labels.csv", [*ROWS, ("bad.mid", 0, "slow", "")])
    arguments = ("--labels", corpus / "midi/labels.csv", "--store", corpus / "a/new/store")
    first, second = run_script(*arguments), run_script(*arguments)
    assert (first.returncode, second.returncode) == (0, 0)
    store = RollStore.open(corpus / "a/new/store")
    assert first.stdout.startswith(summary(store))
    assert "6 files accepted, 1 rejected" in first.stdout
    assert f"rejected files and reasons: {store.folder / 'rejected.csv'}" in first.stdout
    assert "made anew" in first.stdout
    assert second.stdout == f"{summary(store)}\n{store.folder}: nothing changed, nothing done\n"
    assert second.stderr == ""


def test_the_script_names_what_is_wrong_in_one_line(corpus: Path) -> None:
    done = run_script("--labels", corpus / "missing.csv", "--store", corpus / "store")
    message = f"error: {corpus}/missing.csv: no such label file; give a CSV with the columns path,genre_id\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


@pytest.fixture
def run_main(corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs prepare_data.py in this process, inside `corpus`; returns exit code and standard error."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(corpus)
        capsys.readouterr()
        try:
            run_command(lambda: prepare_data.main(["--workers", "1", *arguments]))
        except SystemExit as exit_:
            return exit_.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "give either --labels CSV or --builtin"),
        ("--builtin --labels labels.csv", "give either --labels CSV or --builtin"),
        ("--labels labels.csv --all", "--all goes with --builtin"),
        ("--labels labels.csv --max-minutes 0", "--max-minutes must be above 0"),
        ("--labels labels.csv --max-minutes long", "argument --max-minutes: invalid float value: 'long'"),
        ("--labels labels.csv --workers 0", "--workers must be at least 1"),
        ("--labels labels.csv --workers 1.5", "argument --workers: invalid int value: '1.5'"),
        ("--labels labels.csv --shop store", "unrecognized arguments: --shop store"),
    ],
)
def test_a_wrong_option_is_named(run_main, corpus: Path, arguments: str, message: str) -> None:
    code, errors = run_main(*arguments.split())
    assert code == 2
    assert errors.startswith(f"error: {message}") and len(errors.splitlines()) == 1
    assert "Traceback" not in errors
    assert not (corpus / "store").exists()


HOSTILE_FILES = {
    "huge_id.csv": "path,genre_id\nslow/song 0.mid," + "9" * 400,
    "large_id.csv": "path,genre_id\nslow/song 0.mid,5000",
    "no_columns.csv": "song\nslow/song 0.mid",
    "a_file": "not a folder",
    "broken/store.json": "{",
    "other/store.json": '{"name": "another program\'s"}',
    "list/store.json": "[1]",
}


@pytest.mark.parametrize(
    "arguments",
    [
        "--labels missing.csv",
        "--labels midi",
        "--labels no_columns.csv",
        "--labels large_id.csv --midi-dir midi",
        "--labels huge_id.csv --midi-dir midi",
        "--labels labels.csv",  # the files are below midi, not beside the labels
        "--labels labels.csv --midi-dir elsewhere",
        "--labels labels.csv --midi-dir labels.csv",
        "--labels labels.csv --midi-dir midi --genres slow",
        "--labels labels.csv --midi-dir midi --genres slow,fast,other",
        "--labels labels.csv --midi-dir midi --store a_file",
        "--labels labels.csv --midi-dir midi --store a_file/store",
        "--labels labels.csv --midi-dir midi --store midi",
        "--labels labels.csv --midi-dir midi --store .",
        "--labels labels.csv --midi-dir midi --store broken",
        "--labels labels.csv --midi-dir midi --store other",
        "--labels labels.csv --midi-dir midi --store list",
    ],
)
def test_wrong_files_end_in_one_line(run_main, corpus: Path, arguments: str) -> None:
    for name, content in HOSTILE_FILES.items():
        write(corpus / name, content.encode())
    before = sorted(corpus.rglob("*"))
    code, errors = run_main(*arguments.split())
    assert code == 2
    # Reading shows its progress on the same stream.
    (line,) = (line for line in errors.splitlines() if line and not line.startswith("reading"))
    assert line.startswith("error: ")
    assert sorted(corpus.rglob("*")) == before


def test_a_row_with_an_overlong_name_is_rejected_alone(run_main, corpus: Path) -> None:
    with (corpus / "labels.csv").open("a") as file:
        file.write("a" * 300 + ".mid,0,,\n")
    assert run_main("--labels", "labels.csv", "--midi-dir", "midi")[0] == 0
    assert rejected_of(RollStore.open(corpus / "store")) == {"a" * 300 + ".mid": "no such file"}


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Title.2", "Title"),
        ("Title (12)", "Title"),
        ("Summer of 69.1", "Summer of 69"),
        ("Symphony No.5", "Symphony No.5"),
        ("Etude Op.10", "Etude Op.10"),
        ("bwv244.3", "bwv244.3"),
        ("madrigal.3.1", "madrigal.3.1"),
        ("Sonata No. 5", "Sonata No. 5"),
    ],
)
def test_versions_are_told_from_catalogue_numbers(title: str, expected: str) -> None:
    assert without_version(title) == expected
