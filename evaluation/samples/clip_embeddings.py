"""Piano rolls -> sound -> embeddings. Each clip is rendered and embedded once: embeddings are cached on disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from audio.embedders.embedder import Embedder, open_embedder
from audio.synthesis import TAIL_SECONDS, Renderer, open_renderer
from common.device import select_device
from common.errors import UserError
from common.files import write_bytes
from common.text import printable
from common.torchrun import divided, n_sharing, threads_here
from evaluation.options import AudioOptions


class _Batch(NamedTuple):
    """Clips to render, bool (B, 128, T), and the places of those to embed, by embedder name."""

    rolls: np.ndarray
    places: dict[str, list[int]]


@dataclass
class ClipEmbedder:
    """Embeds clips with one or more embedders; renders a clip once for all of them.

    The folder `cache` has a NumPy file for each embedding, written atomically, so that several processes can share it.
    `workers`: rendering threads, 0 for one a core. `batch_size`: clips that go through a network at a time;
    `whole_batches` if embeddings depend on it, as on a GPU. `opened_by`: arguments of `open_clip_embedder`, with which
    another process opens its own.
    """

    renderer: Renderer
    embedders: Sequence[Embedder]
    cache: Path
    frames_per_second: int
    workers: int = 0
    batch_size: int = 32
    whole_batches: bool = False
    opened_by: tuple[AudioOptions, int] | None = None
    _cache_is_writable: bool = field(default=True, init=False)

    def __reduce__(self) -> Any:
        return (_reopened, self.opened_by) if self.opened_by else super().__reduce__()

    def facts(self, embedder: Embedder) -> dict[str, str]:
        """Facts for the result rows of these embeddings."""
        names = ("synth", "soundfont", "soundfont_sha256")
        return {"embedder": embedder.identity} | {name: getattr(self.renderer, name) for name in names}

    def embed(self, rolls: np.ndarray, title: str = "clips") -> dict[str, Tensor]:
        """Embeddings of clips, bool (n, 128, T): float64 (n, dimension) by embedder name.

        After an interruption the next call continues with the clips that are missing. Memory holds the audio of a few
        batches. Raises `UserError` if the clips are too short for an embedder.
        """
        seconds = rolls.shape[2] / self.frames_per_second + TAIL_SECONDS
        for each in self.embedders:
            if seconds < each.minimum_seconds:
                raise UserError(
                    f"{each.name}: needs {each.minimum_seconds:g} s of sound, but clips of {rolls.shape[2]} frames at "
                    f"{self.frames_per_second} a second last {seconds:.2f} s; take longer clips or another embedder"
                )
        keys = {each.name: self._keys(each, rolls) for each in self.embedders}
        known = {key: self._read(key, each.dimension) for each in self.embedders for key in keys[each.name]}
        # The first row of each key without a vector, by embedder.
        missing = {name: {own.index(key) for key in own if known[key] is None} for name, own in keys.items()}
        rows = sorted(set().union(*missing.values()))
        at_once = self.batch_size
        if not self.whole_batches:
            at_once = max(1, min(at_once, -(-len(rows) // n_sharing())))
        parts = [rows[first : first + at_once] for first in range(0, len(rows), at_once)]
        chosen = [{name: [place for place, row in enumerate(part) if row in own] for name, own in missing.items()}
                  for part in parts]  # fmt: skip
        batches = [_Batch(rolls[part], places) for part, places in zip(parts, chosen, strict=True)]
        bar = tqdm(desc=printable(title), total=len(rolls), initial=len(rolls) - len(rows), unit=" clips")
        for part, batch, embedded in zip(parts, batches, divided(partial(_embed, self), batches), strict=True):
            for name, vectors in embedded.items():
                for place, vector in zip(batch.places[name], vectors, strict=True):
                    key = keys[name][part[place]]
                    known[key] = vector
                    self._keep(key, vector)
            bar.update(len(part))
        bar.close()
        sizes = {each.name: each.dimension for each in self.embedders}
        vectors = {name: np.array([known[key] for key in own], np.float64) for name, own in keys.items()}
        return {name: torch.from_numpy(rows.reshape(-1, sizes[name])) for name, rows in vectors.items()}

    def _keys(self, embedder: Embedder, rolls: np.ndarray) -> list[str]:
        """A key for each clip: a hash of everything that its embedding depends on."""
        made_by = f"{rolls.shape[1:]} {self.frames_per_second} {self.renderer.identity} {embedder.identity}".encode()
        return [sha256(made_by + roll.tobytes()).hexdigest() for roll in np.packbits(rolls, axis=2)]

    def _path(self, key: str) -> Path:
        return self.cache / "embeddings" / key[:2] / f"{key}.npy"

    def _read(self, key: str, dimension: int) -> np.ndarray | None:
        """The cached vector, float32 (dimension,), or None. Raises `UserError` if its file is damaged."""
        path = self._path(key)
        try:
            vector = np.load(path, allow_pickle=False)
            if vector.shape != (dimension,):
                raise ValueError(f"its shape is {vector.shape}, not ({dimension},)")
            return vector
        except FileNotFoundError:
            return None
        except (ValueError, EOFError) as error:
            raise UserError(f"{path}: not an embedding ({error}); delete it, it is made again") from error

    def _keep(self, key: str, vector: np.ndarray) -> None:
        """Cache a vector. If the folder cannot be written, warn once and keep nothing."""
        content = BytesIO()
        np.save(content, np.asarray(vector, "<f4"))
        try:
            if self._cache_is_writable:
                write_bytes(self._path(key), content.getvalue(), replace=True)
        except OSError as error:
            self._cache_is_writable = False
            tqdm.write(f"{self.cache}: cannot be written ({error}); new embeddings are not kept")


def _embed(embedder: ClipEmbedder, batches: Sequence[_Batch]) -> Iterator[dict[str, np.ndarray]]:
    """Vectors of the clips at `places`, float32 (n, dimension) by embedder name, for each batch."""
    rolls = (roll for batch in batches for roll in batch.rolls)
    workers = embedder.workers or threads_here()
    audios = embedder.renderer.render_rolls(rolls, embedder.frames_per_second, workers)
    for batch in batches:
        sounds = list(islice(audios, len(batch.rolls)))
        chosen = {name: [sounds[place] for place in places] for name, places in batch.places.items()}
        yield {each.name: each.embed(chosen[each.name]) for each in embedder.embedders if chosen[each.name]}


@cache
def _reopened(options: AudioOptions, frames_per_second: int) -> ClipEmbedder:
    return open_clip_embedder(options, frames_per_second)


def open_clip_embedder(options: AudioOptions, frames_per_second: int) -> ClipEmbedder:
    """Open synthesiser and embedders. Raises `UserError` if something is not installed or not there."""
    device = select_device(options.device)
    renderer = open_renderer(options.synth, options.soundfont)
    embedders = [open_embedder(name, ast_dir=options.ast_dir, device=device) for name in options.embedders]
    how = options.cache, frames_per_second, options.workers, options.batch_size
    return ClipEmbedder(renderer, embedders, *how, device.type != "cpu", (options, frames_per_second))
