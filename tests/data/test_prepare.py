"""From a folder of MIDI files and a label CSV to a roll store, and when the store is made again."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from corpus import (
    ARRAYS,
    ROWS,
    change_a_file,
    content_of,
    lasting,
    make_store,
    names_in,
    rejected_of,
    song_arrays,
    write_labels,
)
from midi_files import DRUMS, Message, midi, off, on, write

from common.errors import UserError
from common.splits import SPLITS
from data import shards
from data.prepare import summary
from data.song import read_song
from data.store_inputs import StoreSettings


def test_the_store_holds_the_songs(corpus: Path) -> None:
    store, made = make_store(corpus)
    assert made
    assert (store.condition, store.genres, store.frames_per_second) == ("genre", ["slow", "fast"], 16)
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
    assert len(store.frames) == frames > 6 * 90
    assert len(store.onset_seconds) == len(store.pitch) == len(store.velocity) == notes > 6
    assert len({row.content_hash for row in store.songs}) == len(ROWS)
    assert rejected_of(store) == {}
    assert (store.info["accepted"], store.info["rejected"]) == (6, 0)


def test_files_that_are_left_out_are_listed_and_the_others_unaffected(corpus: Path) -> None:
    good = {path: [array.copy() for array in arrays] for path, arrays in song_arrays(make_store(corpus)[0]).items()}
    bad = {
        "bad/not midi.mid": (b"<html></html>", "not a MIDI file"),
        "bad/truncated.mid": (lasting(64)[:-3], "truncated"),
        "bad/short.mid": (lasting(31), "too short: 31 frames"),
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
    twice = (f"./{ROWS[0][0]}", 0, "slow", "train")
    write_labels(corpus / "labels.csv", [*rows[:5], *ROWS[:4], *rows[5:], *ROWS[4:], twice, ("a.mid", "pop", "", "")])
    store, made = make_store(corpus, settings=StoreSettings(max_minutes=1.0))
    assert made
    reasons = rejected_of(store)
    assert reasons.keys() == {*bad, ROWS[0][0], "a.mid"}
    for path, (_, reason) in bad.items():
        assert reason in reasons[path]
    assert "listed more than once" in reasons[ROWS[0][0]]
    assert "not a whole number" in reasons["a.mid"]
    assert "6 files accepted, 9 rejected" in summary(store)
    arrays = song_arrays(store)
    assert list(arrays) == list(good)
    for path in good:
        for array, expected in zip(arrays[path], good[path], strict=True):
            np.testing.assert_array_equal(array, expected)


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
    assert {row.split for row in copies} == {"train"}  # of so many names, one is at a position in training


def test_a_genre_without_training_songs_is_refused_and_the_old_store_stays(corpus: Path) -> None:
    make_store(corpus)
    before = content_of(corpus / "store")
    write_labels(corpus / "labels.csv", [*ROWS[:3], *((path, 1, "fast", "test") for path, *_ in ROWS[3:])])
    with pytest.raises(UserError, match="no training song for fast"):
        make_store(corpus)
    assert content_of(corpus / "store") == before
    assert names_in(corpus) == ["labels.csv", "midi", "store"]
    write(corpus / "midi" / ROWS[3][0], b"damaged")
    write_labels(corpus / "labels.csv", ROWS)
    with pytest.raises(UserError, match=r"no training song for fast \(1 files were rejected, most often: not a MIDI"):
        make_store(corpus)
    assert content_of(corpus / "store") == before


def test_a_second_run_does_nothing(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = make_store(corpus)
    before = (corpus / "store").stat().st_mtime_ns, content_of(corpus / "store")
    monkeypatch.setattr(shards, "read_songs", lambda *_: pytest.fail("files were read again"))
    os.utime(corpus / "labels.csv", (0, 0))
    second, made = make_store(corpus)
    assert not made
    assert (second.content_hash, second.songs) == (first.content_hash, first.songs)
    assert before == ((corpus / "store").stat().st_mtime_ns, content_of(corpus / "store"))


def relabel(change: Callable[[list[tuple]], list[tuple]]) -> Callable[[Path], object]:
    return lambda corpus: write_labels(corpus / "labels.csv", change(list(ROWS)))


CHANGES: dict[str, Callable[[Path], object]] = {
    "file": change_a_file,
    "time": lambda corpus: os.utime(corpus / "midi" / ROWS[1][0], (0, 0)),
    "removed file": lambda corpus: (corpus / "midi" / ROWS[1][0]).unlink(),
    "label": relabel(lambda rows: [*rows[:5], (rows[5][0], 0, "slow", "val")]),
    "split": relabel(lambda rows: [*rows[:5], (*rows[5][:3], "val")]),
    "name": relabel(lambda rows: [(path, genre_id, f"very {genre}", split) for path, genre_id, genre, split in rows]),
    "more labels": relabel(lambda rows: [*rows, ("slow/missing.mid", 0, "slow", "")]),
    "rejected labels": relabel(lambda rows: [*rows, ("slow/other.mid", "slow", "slow", "")]),
    "settings": lambda _: {"settings": StoreSettings(max_minutes=2.0)},
    "reader": lambda _: {"settings": StoreSettings(reader_version=999)},
    "names": lambda _: {"genres": ["adagio", "presto"]},
    "rebuild": lambda _: {"rebuild": True},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_makes_the_store_anew(corpus: Path, change: Callable[[Path], object]) -> None:
    make_store(corpus)
    result = change(corpus)
    options = result if isinstance(result, dict) else {}
    changed, made = make_store(corpus, **options)
    assert made and changed.genres == options.get("genres", changed.genres)
    fresh, _ = make_store(corpus, name="fresh", **options)
    assert content_of(changed.folder) == content_of(fresh.folder)
    assert not make_store(corpus, **{**options, "rebuild": False})[1]


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
