"""The control experiment's store view, and a training on it."""

from collections import Counter
from pathlib import Path

import pytest
import torch

import train_cvae
from common.errors import UserError
from common.options import parse_options
from data.store import RollStore
from data.windows import WindowSource
from models.checkpoint import read_checkpoint


@pytest.fixture
def store(tiny_store: Path) -> RollStore:
    return RollStore.open(tiny_store)


def test_shuffled_labels_are_as_many_for_other_songs(store: RollStore) -> None:
    shuffled = store.with_shuffled_labels()
    for split in ("train", "val", "test"):
        before, after = ([song.genre_id for song in view.songs if song.split == split] for view in (store, shuffled))
        assert Counter(after) == Counter(before)
    moved = [song.genre_id != other.genre_id for song, other in zip(store.songs, shuffled.songs, strict=True)]
    assert any(moved)
    for song, other in zip(store.songs, shuffled.songs, strict=True):
        assert vars(song) | {"genre_id": 0} == vars(other) | {"genre_id": 0}, "nothing but the genre changes"


def test_shuffled_labels_depend_on_the_store_alone(store: RollStore, tiny_store: Path) -> None:
    first, again = store.with_shuffled_labels(), RollStore.open(tiny_store).with_shuffled_labels()
    assert first.songs == again.songs and first.content_hash == again.content_hash != store.content_hash


def test_the_view_shares_the_music(store: RollStore) -> None:
    shuffled = store.with_shuffled_labels()
    assert all(getattr(shuffled, name) is getattr(store, name) for name in ("frames", "onset_seconds", "pitch"))
    windows, others = (WindowSource(view, "train", 32) for view in (store, shuffled))
    every = torch.arange(len(windows))
    assert torch.equal(windows.rolls(every), others.rolls(every))
    genre_of_song = torch.tensor([song.genre_id for song in shuffled.songs])
    assert torch.equal(others.genre, genre_of_song[others.song]), "all windows of a song have its genre"
    assert not torch.equal(others.genre, windows.genre)


def test_training_on_shuffled_labels_says_so_in_its_weights(store: RollStore, tmp_path: Path) -> None:
    words = ["--store", store.folder, "--checkpoints", tmp_path / "checkpoints", "--runs", tmp_path / "runs"]
    words += ["--shuffle-labels", "--device", "cpu", "--threads", "1", "--epochs", "1", "--batch-size", "64"]
    train_cvae.train_cvae(parse_options(train_cvae.Options, "", list(map(str, words))))
    content = read_checkpoint(tmp_path / "checkpoints" / "cvae_pretrained_best.pth")
    assert content["facts"]["labels"] == "shuffled" and content["facts"]["genres"] == store.genres
    assert content["facts"]["store_content"] == store.with_shuffled_labels().content_hash
    with pytest.raises(UserError, match=r"shuffle_labels \(was True, is False\)"):
        train_cvae.train_cvae(parse_options(train_cvae.Options, "", [*map(str, words), "--no-shuffle-labels"]))
