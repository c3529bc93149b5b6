"""Piano rolls -> sound -> embeddings, each clip once: what was embedded before comes from a cache on disk."""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from audio.embedders.embedder import EMBEDDERS, Embedder, open_embedder
from audio.synthesis import SYNTHS, Renderer, open_renderer
from common.device import DEVICES, select_device
from common.errors import UserError
from common.options import CheckedOptions, option

_KEYS_A_QUERY = 500


@dataclass(frozen=True)
class AudioOptions(CheckedOptions):
    """Options of whatever embeds the sound of clips."""

    embedders: tuple[str, ...] = option(("ast",), "networks that embed the sound, with commas", choices=EMBEDDERS)
    ast_dir: Path | None = option(None, "folder with the weights of ast (default: the Hugging Face cache)")
    synth: str = option("fluidsynth", "synthesiser; results of different ones do not compare", choices=SYNTHS)
    soundfont: Path | None = option(None, "SoundFont, .sf2 (default: TimGM6mb.sf2, which pretty_midi ships)")
    cache: Path = option(Path("cache"), "folder of the embeddings made so far, which are used again")
    device: str = option("auto", "where the embedders compute; auto is cuda, else mps, else cpu", choices=DEVICES)
    workers: int = option(0, "clips to render at the same time; 0 is one a core", minimum=0, maximum=1024)
    batch_size: int = option(32, "clips to embed at a time", minimum=1)


class EmbeddingCache:
    """Embeddings by the content they were made of, in an SQLite file; every batch is committed as it is made."""

    def __init__(self, folder: Path) -> None:
        """Raises `UserError` where the file in `folder` is no such cache."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "embeddings.sqlite"
        self._database = sqlite3.connect(path, timeout=60)
        try:
            self._database.execute("CREATE TABLE IF NOT EXISTS embedding (key TEXT PRIMARY KEY, vector BLOB)")
        except sqlite3.DatabaseError as error:
            raise UserError(f"{path}: not a cache of embeddings ({error}); delete it, it is made again") from error

    def get(self, keys: Sequence[str]) -> dict[str, np.ndarray]:
        """The embeddings, float32 (dimension,), of those keys that are there."""
        found = {}
        for first in range(0, len(keys), _KEYS_A_QUERY):
            wanted = keys[first : first + _KEYS_A_QUERY]
            places = ",".join("?" * len(wanted))
            query = f"SELECT key, vector FROM embedding WHERE key IN ({places})"
            found |= {key: np.frombuffer(vector, "<f4") for key, vector in self._database.execute(query, wanted)}
        return found

    def put(self, embeddings: dict[str, np.ndarray]) -> None:
        """Keep embeddings, all of them or, when interrupted, none."""
        rows = [(key, np.asarray(vector, "<f4").tobytes()) for key, vector in embeddings.items()]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO embedding VALUES (?, ?)", rows)


class ClipEmbedder:
    """Embeds clips with one or more embedders, rendering a clip once for all of them."""

    def __init__(
        self,
        renderer: Renderer,
        embedders: Sequence[Embedder],
        cache: EmbeddingCache,
        *,
        frames_per_second: int,
        workers: int = 0,
        batch_size: int = 32,
        progress: bool = True,
    ) -> None:
        """`workers` render at the same time, 0 for one a core; `batch_size` clips go through a network at a time."""
        self.renderer, self.embedders = renderer, embedders
        self._cache = cache
        self._frames_per_second = frames_per_second
        self._workers, self._batch_size, self._progress = workers, batch_size, progress

    def facts(self, embedder: Embedder) -> dict[str, str]:
        """What a result row has to say of the embeddings it is made of."""
        return {
            "embedder": embedder.identity,
            "synth": self.renderer.synth,
            "soundfont": self.renderer.soundfont,
            "soundfont_sha256": self.renderer.soundfont_sha256,
        }

    def embed(self, rolls: np.ndarray, title: str = "clips") -> dict[str, Tensor]:
        """Embeddings of clips, bool (n, 128, T): float64 (n, dimension) for each embedder's name.

        Interrupted, it goes on from the last batch at the next call. Memory holds the audio of a few batches.
        """
        keys = {embedder.name: self._keys(embedder, rolls) for embedder in self.embedders}
        known = {embedder.name: self._cache.get(keys[embedder.name]) for embedder in self.embedders}
        # The first place of each content that an embedder has not seen.
        new = {name: {key: row for row, key in reversed(list(enumerate(keys[name]))) if key not in known[name]}
               for name in keys}  # fmt: skip
        rows = sorted({row for places in new.values() for row in places.values()})
        done = len(rolls) - len(rows)
        bar = tqdm(total=len(rolls), initial=done, desc=title, unit=" clips", disable=not self._progress)
        for batch in self._rendered(rolls, rows):
            for embedder in self.embedders:
                name = embedder.name
                chosen = [(keys[name][row], audio) for row, audio in batch if new[name].get(keys[name][row]) == row]
                if chosen:
                    vectors = embedder.embed([audio for _, audio in chosen])
                    made = dict(zip((key for key, _ in chosen), vectors, strict=True))
                    self._cache.put(made)
                    known[name] |= made
            bar.update(len(batch))
        bar.close()
        return {
            embedder.name: torch.from_numpy(
                np.array([known[embedder.name][key] for key in keys[embedder.name]], np.float64)
            ).reshape(len(rolls), embedder.dimension)
            for embedder in self.embedders
        }

    def _rendered(self, rolls: np.ndarray, rows: list[int]) -> Iterator[list[tuple[int, np.ndarray]]]:
        """(row, audio) of the clips at `rows`, in batches."""
        audios = self.renderer.render_rolls((rolls[row] for row in rows), self._frames_per_second, self._workers)
        batch = []
        for pair in zip(rows, audios, strict=True):
            batch.append(pair)
            if len(batch) == self._batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _keys(self, embedder: Embedder, rolls: np.ndarray) -> list[str]:
        """A key for each clip that changes with whatever its embedding depends on."""
        made_by = f"{rolls.shape[1:]} {self._frames_per_second} {self.renderer.identity} {embedder.identity}"
        start = hashlib.sha256(made_by.encode())
        keys = []
        for roll in np.packbits(rolls, axis=2):
            content = start.copy()
            content.update(roll.tobytes())
            keys.append(content.hexdigest())
        return keys


def open_clip_embedder(options: AudioOptions, frames_per_second: int) -> ClipEmbedder:
    """Open synthesiser, embedders and cache. Raises `UserError` for what is not installed or not there."""
    device = select_device(options.device)
    return ClipEmbedder(
        open_renderer(options.synth, options.soundfont),
        [open_embedder(name, ast_dir=options.ast_dir, device=device) for name in options.embedders],
        EmbeddingCache(options.cache),
        frames_per_second=frames_per_second,
        workers=options.workers,
        batch_size=options.batch_size,
    )
