"""Networks that turn the sound of a clip into a vector, behind one interface."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

EMBEDDERS = ("ast", "MTT_musicnn", "MSD_musicnn")


class Embedder(Protocol):
    """A trained network that embeds audio clips.

    `identity` is a short text that changes with the weights and with how the sound is prepared: where it is equal,
    equal audio has an equal embedding, up to rounding. Clips shorter than `minimum_seconds` have none.
    """

    name: str
    dimension: int
    minimum_seconds: float
    identity: str

    def embed(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Embed n mono clips of equal length, each float32 (samples,) at 16 kHz in [-1, 1]: float32 (n, dimension)."""


def open_embedder(
    name: str,
    *,
    ast_dir: Path | None = None,
    device: torch.device = torch.device("cpu"),
    cache_dir: Path | None = None,
) -> Embedder:
    """One of `EMBEDDERS`, ready for use. Nothing is fetched from a network.

    `ast_dir`: folder with the weights of "ast", by default the Hugging Face cache. `cache_dir`: where the converted
    weights of musicnn are kept, by default the user's cache folder. Raises `UserError` where weights are missing.
    """
    if name not in EMBEDDERS:
        raise ValueError(f"no embedder {name}; there are {', '.join(EMBEDDERS)}")
    # Importing transformers takes seconds, and an evaluation with musicnn does without it.
    if name == "ast":
        from audio.embedders.spectrogram_transformer import SpectrogramTransformerEmbedder

        return SpectrogramTransformerEmbedder(ast_dir, device)
    from audio.embedders.musicnn import MusicnnEmbedder

    return MusicnnEmbedder(name, device, cache_dir)
