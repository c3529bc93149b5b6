"""A fast fake synthesiser and embedder, for tests of code that uses embeddings."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from evaluation.samples.clip_embeddings import ClipEmbedder


class FakeRenderer:
    """Returns the notes per frame and frames per pitch as audio; counts the rendered rolls."""

    synth, soundfont, soundfont_sha256 = "fake synth 1", "fake.sf2", "0" * 12

    def __init__(self, identity: str = "fake renderer") -> None:
        self.identity = identity
        self.rendered = 0
        self.stop_after: int | None = None

    def render_rolls(
        self, rolls: Iterable[np.ndarray], frames_per_second: int, workers: int = 0
    ) -> Iterator[np.ndarray]:
        for roll in rolls:
            if self.rendered == self.stop_after:
                raise KeyboardInterrupt
            self.rendered += 1
            yield np.concatenate([roll.sum(0), roll.sum(1)]).astype(np.float32)


class FakeEmbedder:
    """Returns the means of four parts of the audio."""

    dimension, minimum_seconds = 4, 1.5

    def __init__(self, name: str = "fake", identity: str = "fake 1") -> None:
        self.name, self.identity = name, identity
        self.batches: list[int] = []

    def embed(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        self.batches.append(len(clips))
        return np.stack([[part.mean() for part in np.array_split(clip, 4)] for clip in clips]).astype(np.float32)


def embedder_of(folder: Path, *embedders: FakeEmbedder, renderer: FakeRenderer | None = None) -> ClipEmbedder:
    return ClipEmbedder(renderer or FakeRenderer(), embedders or [FakeEmbedder()], folder, 16, batch_size=3)


def clips(n: int, seed: int = 0, frames: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 128, frames)) > 0.95


def save_tiny_ast(folder: Path) -> Path:
    """Write an Audio Spectrogram Transformer of tiny size with random weights, as the hub has it."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification  # slow to import

    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    ASTForAudioClassification(ASTConfig(**size, max_length=128)).save_pretrained(folder)
    ASTFeatureExtractor(max_length=128).save_pretrained(folder)
    return folder
