"""From a folder of MIDI and a label CSV to a roll store."""

import os
import shutil
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
from data import prepare
from data.prepare import StoreSettings, prepare_store, summary
from data.song import read_song


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


def test_files_that_cannot_enter_are_listed_and_the_others_unaffected(corpus: Path) -> None:
    good = {path: [array.copy() for array in arrays] for path, arrays in song_arrays(make_store(corpus)[0]).items()}
    bad = {
        "bad/not midi.mid": (b"<html></html>", "not a MIDI file"),
        "bad/empty.mid": (b"", "not a MIDI file"),
        "bad/truncated.mid": (lasting(64)[:-3], "truncated"),
        "bad/short.mid": (lasting(31), "too short: 31 frames"),
        "bad/no notes.mid": (midi([]), "no note in it"),
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
    store, made = make_store(corpus, settings=StoreSettings(max_minutes=1.0))
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
    with pytest.raises(UserError, match="--genres gives 1 names, but the labels have a genre_id 1"):
        make_store(corpus, genres=["adagio"])


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


@pytest.mark.parametrize(
    ("ids", "message"), [((0, 2), "those in use are 0, 2; number"), ((1, 2), "those in use are 1, 2; subtract 1")]
)
def test_a_gap_in_the_genre_ids_is_refused(corpus: Path, ids: tuple[int, int], message: str) -> None:
    write_labels(corpus / "labels.csv", [(path, ids[genre_id], "", split) for path, genre_id, _, split in ROWS])
    with pytest.raises(UserError, match=message):
        make_store(corpus)
    assert not (corpus / "store").exists()


def test_no_file_of_the_labels_is_there(corpus: Path) -> None:
    shutil.rmtree(corpus / "midi")
    with pytest.raises(UserError, match="midi: no such folder"):
        make_store(corpus)
    (corpus / "midi").mkdir()
    with pytest.raises(UserError, match=r"none of the files .* is there, for example slow/song 0\.mid"):
        make_store(corpus)


def test_a_second_run_does_nothing(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = make_store(corpus)
    before = (corpus / "store").stat().st_mtime_ns, content_of(corpus / "store")
    monkeypatch.setattr(prepare, "read_songs", lambda *_: pytest.fail("files were read again"))
    os.utime(corpus / "labels.csv", (0, 0))
    second, made = make_store(corpus)
    assert not made
    assert second.content_hash == first.content_hash
    assert second.songs == first.songs
    assert before == ((corpus / "store").stat().st_mtime_ns, content_of(corpus / "store"))


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
    return {"settings": StoreSettings(max_minutes=2.0)}


def change_the_reader(corpus: Path) -> dict:
    return {"settings": StoreSettings(reader_version=999)}


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
