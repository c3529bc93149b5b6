"""The interface of networks that embed the sound of a clip, and how clips are batched."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

GPU_BATCH_SIZE = 32


class Embedder(Protocol):
    """A trained network that embeds audio clips.

    `identity` changes with the weights and the preprocessing; it is part of the key of cached embeddings. Clips must
    last at least `minimum_seconds`.
    """

    name: str
    dimension: int
    minimum_seconds: float
    identity: str

    def embed(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Embed n mono clips of equal length, each float32 (samples,) at 16 kHz in [-1, 1]: float32 (n, dimension)."""


def open_embedder(name: str, *, ast_dir: Path | None = None, device: torch.device = torch.device("cpu")) -> Embedder:
    """Load one of `audio.options.EMBEDDERS` from local files. Raises `UserError` if its weights are missing or damaged.

    `ast_dir`: folder with the weights of "ast", by default the Hugging Face cache.
    """
    if name == "ast":  # importing transformers takes seconds, and musicnn does not need it
        from audio.embedders.spectrogram_transformer import SpectrogramTransformerEmbedder

        return SpectrogramTransformerEmbedder(ast_dir, device)
    from audio.embedders.musicnn import MusicnnEmbedder

    return MusicnnEmbedder(name, device)


def embed_in_batches(
    embed: Callable[[list[np.ndarray]], Tensor], clips: Sequence[np.ndarray], device: torch.device, dimension: int
) -> np.ndarray:
    """Apply `embed`, clips -> (B, dimension), to all clips: float32 (n, dimension), in their order.

    On a CPU each clip is embedded alone, on one thread, with several clips in parallel. The result then depends neither
    on the other clips nor on the number of threads. It is also faster: one network on two threads took six times as
    long on a busy machine.
    """
    if device.type != "cpu":
        rows = [embed(list(clips[first : first + GPU_BATCH_SIZE])) for first in range(0, len(clips), GPU_BATCH_SIZE)]
    else:
        threads = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                rows = list(pool.map(lambda clip: embed([clip]), clips))
        finally:
            torch.set_num_threads(threads)  # set_num_threads(1) in the pool also changed the default of new threads
    return torch.cat([torch.empty(0, dimension), *(row.float().cpu() for row in rows)]).numpy()
