"""The roll store: opened again, identified by its content, refused when damaged, with genres shuffled."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from corpus import ARRAYS, ROWS, change_a_file, make_store, write_labels
from stages import cvae_options

import train_cvae
from common.errors import UserError
from data.store import RollStore
from data.windows import WindowSource
from models.checkpoint import read_checkpoint


@pytest.fixture
def store(tiny_store: Path) -> RollStore:
    return RollStore.open(tiny_store)


def test_the_same_data_elsewhere_and_later_is_the_same(corpus: Path, tmp_path: Path) -> None:
    """Folder, times of change, and labels of missing files do not change the content hash."""
    first, _ = make_store(corpus)
    other = shutil.copytree(corpus, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    for path in other.rglob("*.mid"):
        path.touch()
    write_labels(other / "labels.csv", [*ROWS, ("missing.mid", 0, "slow", "")])
    second, made = make_store(other)
    assert made and second.info["inputs_hash"] != first.info["inputs_hash"]
    assert second.content_hash == first.content_hash
    shuffled, again = first.with_shuffled_labels(), second.with_shuffled_labels()
    assert again.songs == shuffled.songs
    assert again.content_hash == shuffled.content_hash != first.content_hash


@pytest.mark.parametrize("what", ["music", "split", "name", "names"])
def test_other_data_have_another_hash(corpus: Path, what: str) -> None:
    first, _ = make_store(corpus)
    if what == "music":
        change_a_file(corpus)
    elif what == "split":
        write_labels(corpus / "labels.csv", [*ROWS[:5], (*ROWS[5][:3], "val")])
    elif what == "name":
        (corpus / "midi" / ROWS[5][0]).rename(corpus / "midi/fast/renamed.mid")
        write_labels(corpus / "labels.csv", [*ROWS[:5], ("fast/renamed.mid", *ROWS[5][1:])])
    second, made = make_store(corpus, genres=["a", "b"] if what == "names" else None)
    assert made and second.content_hash != first.content_hash


def test_song_ids_are_those_of_the_music(corpus: Path, tmp_path: Path) -> None:
    first, _ = make_store(corpus)
    ids = first.song_ids("train")
    hashes = [int(row.content_hash, 16) for row in first.songs if row.split == "train"]
    assert ids.tolist() == sorted(np.array(hashes, np.uint64).view(np.int64).tolist()) and len(ids) == 2
    every = np.concatenate([first.song_ids(split) for split in ("train", "val", "test")])
    assert len(set(every.tolist())) == len(ROWS)
    write_labels(corpus / "labels.csv", [(path, 1 - genre, "", split) for path, genre, _, split in ROWS[::-1]])
    second, _ = make_store(corpus)
    assert second.content_hash != first.content_hash
    assert second.song_ids("train").tolist() == ids.tolist()
    assert first.song_ids("none").shape == (0,)


@pytest.mark.parametrize("name", ["songs.csv", "frames.npy", "store.json"])
def test_a_damaged_store_is_refused(tiny_store: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(tiny_store, tmp_path / "copy")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content.replace(b"train", b"test,", 1).replace(b"|u1", b"|i1", 1).replace(b"3", b"4"))
    with pytest.raises(UserError, match=r"copy: .*; make it again with prepare_data\.py"):
        RollStore.open(folder)


def test_shuffled_labels_are_as_many_for_other_songs_of_the_same_music(store: RollStore) -> None:
    shuffled = store.with_shuffled_labels()
    for split in ("train", "val", "test"):
        before, after = ([song.genre_id for song in view.songs if song.split == split] for view in (store, shuffled))
        assert Counter(after) == Counter(before)
    pairs = list(zip(store.songs, shuffled.songs, strict=True))
    assert all(vars(song) | {"genre_id": 0} == vars(other) | {"genre_id": 0} for song, other in pairs)
    assert all(getattr(shuffled, name) is getattr(store, name) for name in ARRAYS)
    windows, others = (WindowSource(view, "train", 32) for view in (store, shuffled))
    every = torch.arange(len(windows))
    assert torch.equal(windows.rolls(every), others.rolls(every))
    genre_of_song = torch.tensor([song.genre_id for song in shuffled.songs])
    assert torch.equal(others.genre, genre_of_song[others.song]) and not torch.equal(others.genre, windows.genre)


def test_weights_record_shuffled_labels(store: RollStore, tmp_path: Path) -> None:
    options = cvae_options(store.folder, tmp_path, epochs=1, shuffle_labels=True)
    train_cvae.train_cvae(options)
    facts = read_checkpoint(tmp_path / "checkpoints" / "cvae_pretrained_best.pth")["facts"]
    assert (facts["labels"], facts["genres"]) == ("shuffled", store.genres)
    assert facts["store_content"] == store.with_shuffled_labels().content_hash
    with pytest.raises(UserError, match=r"shuffle_labels \(was True, is False\)"):
        train_cvae.train_cvae(replace(options, shuffle_labels=False))
