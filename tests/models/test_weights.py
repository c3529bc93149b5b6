"""Weights files: round trips, places, and refusals."""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from weights import FACTS, save_weights

from common.files import save_plain
from models import LARGE, Critic, Generator, build, rebuild
from models.checkpoint import CheckpointError, read_checkpoint, weights_content
from models.trained import load
from models.weight_files import hybrid_file, hybrid_path


def test_rebuild_is_strict(tmp_path: Path) -> None:
    save_weights(Critic(3, 32, hidden=8), tmp_path / "weights.pth")
    checkpoint = read_checkpoint(tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="unknown network critic transformer; known are"):
        rebuild({**checkpoint, "network": "transformer"})
    with pytest.raises(RuntimeError, match=r"linear1\.weight"):
        rebuild({**checkpoint, "config": {**checkpoint["config"], "seq_len": 64}})
    del checkpoint["weights"]["linear2.bias"]
    with pytest.raises(RuntimeError, match=r"linear2\.bias"):
        rebuild(checkpoint)


def test_weights_at_a_longer_t_are_used_if_the_network_takes_any_length(tmp_path: Path) -> None:
    large = build("critic", LARGE, n_genres=3, seq_len=64, hidden=16)
    own, longer, of_paper = (tmp_path / hybrid_file(*each) for each in (("D", 32), ("D", 64), ("G", 64)))
    save_weights(large, longer)
    save_weights(Generator(3, 64, hidden=8), of_paper)
    assert hybrid_path(tmp_path, "D", 32) == longer == hybrid_path(tmp_path, "critic", 64)
    assert load(longer, "critic", "", seq_len=32).seq_len == 32
    assert hybrid_path(tmp_path, "D", 128) == tmp_path / hybrid_file("D", 128), "only at a longer T"
    assert hybrid_path(tmp_path, "G", 32) == tmp_path / hybrid_file("G", 32), "a network for one T"
    save_weights(large, own)
    assert hybrid_path(tmp_path, "D", 32) == own


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "weights.pth: no such checkpoint; train it"),
        (b"PK\x03\x04 and no zip file after all", "not a readable checkpoint"),
        ("truncated", "not a readable checkpoint"),
        ("flipped", r"weights.pth: damaged \(.*another checksum\); train it"),
        (torch.zeros(3), "not a checkpoint of this program"),
        ({"weights": {}}, "not a checkpoint of this program"),
        ({"format_version": 1, "kind": "cvae"}, "a checkpoint of format 1, but this code reads format 2"),
    ],
)
def test_other_files_are_refused(content: object, message: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif isinstance(content, str):
        whole = save_weights(Critic(3, 32, hidden=8), file).read_bytes()
        place = whole.index(b"critic") + 5000  # among the numbers of a tensor
        file.write_bytes(
            whole[:-200] if content == "truncated" else whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        )
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(file, "train it")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(bad: float, tmp_path: Path) -> None:
    generator = Generator(3, 32, hidden=8)
    with torch.no_grad():
        generator.roll.bias[5] = bad
    file = save_weights(generator, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=r"weights.pth: its weights are not finite \(roll.bias\)"):
        load(file, "generator", "train it")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"genres": ["a"]}, r"damaged or of another version \('condition'\); train it"),
        ({**FACTS, "genres": "abc"}, r"damaged or of another version \(genres is 'abc'\); train it"),
        ({**FACTS, "genres": [1, 2, 3]}, r"damaged .*names of its genres"),
        ({**FACTS, "training_songs": [1, 2]}, r"damaged .*training_songs is \[1, 2\]"),
        ({**FACTS, "frames_per_second": None}, r"damaged .*frames_per_second is None"),
        (["genres"], "damaged or of another version"),
        (None, "damaged or of another version"),
    ],
)
def test_missing_or_changed_facts_are_refused(facts: Any, message: str, tmp_path: Path) -> None:
    save_plain(weights_content(Generator(3, 32, hidden=8), facts), tmp_path / hybrid_file("G", 64))
    with pytest.raises(CheckpointError, match=f"pth: {message}"):
        load(tmp_path / hybrid_file("G", 64), "generator", "train it")
    assert hybrid_path(tmp_path, "G", 32) == tmp_path / hybrid_file("G", 32)


@pytest.mark.parametrize(
    "changes",
    [{"kind": ["generator"]}, {"network": {}}, {"config": 3}, {"config": {"n_genres": -1}}, {"weights": {"a": 1}}],
)
def test_changed_descriptions_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    save_plain({**weights_content(Generator(3, 32, hidden=8), FACTS), **changes}, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=r"weights.pth: .*; train it"):
        load(tmp_path / "weights.pth", "generator", "train it")


class Music:
    """The part of a store that weights are compared with."""

    folder, condition, frames_per_second = Path("store"), "genre", 16

    def __init__(self, songs: list[int], genres: tuple[str, ...] = ("chords", "melody", "bass")) -> None:
        self.genres, self._songs = list(genres), songs

    def song_ids(self, split: str) -> np.ndarray:
        assert split == "train"
        return np.array(self._songs, np.int64)


def test_weights_are_compared_with_the_store(tmp_path: Path) -> None:
    songs = torch.tensor([-3, 5, 8])
    file = save_weights(Generator(3, 32, hidden=8), tmp_path / "G.pth", training_songs=songs)
    for songs_of_store in ([8, -3, 5], [8, -3, 5, 99]):
        assert load(file, "generator", "train it", store=Music(songs_of_store)).seq_len == 32
    with pytest.raises(CheckpointError, match="2 of the 3 songs it was trained on are not among"):
        load(file, "generator", "train it", store=Music([5, 6, 7]))
    assert load(file, "generator", "train it", store=Music([]), allow_other_songs=True).training_songs.equal(songs)
    with pytest.raises(CheckpointError, match="genre names chords, melody, bass, but store has the genre"):
        load(file, "generator", "train it", store=Music([-3, 5, 8], ("a", "b", "c")))
    with pytest.raises(CheckpointError, match="trained on windows of T = 32, not 64; train it"):
        load(file, "generator", "train it", store=Music([-3, 5, 8]), seq_len=64)
    with pytest.raises(CheckpointError, match="holds generator, but cvae is needed; train it"):
        load(file, "cvae", "train it", store=Music([-3, 5, 8]))


class Malicious:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (self.folder,)


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    file, folder = tmp_path / "weights.pth", tmp_path / "made by the pickle"
    content = {"format_version": 2, "kind": "critic", "weights": Malicious(folder)}
    for save in (torch.save, lambda content, file: file.write_bytes(pickle.dumps(content, protocol=2))):
        save(content, file)
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            read_checkpoint(file)
        assert not folder.exists()
    pickle.loads(file.read_bytes())  # the attack itself works
    assert folder.exists()
