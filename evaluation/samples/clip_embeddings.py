"""Piano rolls -> sound -> embeddings, each clip once: what was embedded before comes from a cache on disk."""

import hashlib
import sqlite3
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from audio.embedders.embedder import EMBEDDERS, Embedder, open_embedder
from audio.synthesis import SYNTHS, TAIL_SECONDS, Renderer, open_renderer
from common.device import DEVICES, select_device
from common.errors import UserError
from common.options import CheckedOptions, option
from common.text import printable

_KEYS_A_QUERY = 500


@dataclass(frozen=True)
class AudioOptions(CheckedOptions):
    """Options of whatever embeds the sound of clips."""

    embedders: tuple[str, ...] = option(("ast",), "networks that embed the sound, with commas", choices=EMBEDDERS)
    ast_dir: Path | None = option(None, "folder with the weights of ast (default: the Hugging Face cache)")
    synth: str = option("fluidsynth", "synthesiser; results of different ones do not compare", choices=SYNTHS)
    soundfont: Path | None = option(None, "SoundFont, .sf2 (default: TimGM6mb.sf2, which pretty_midi ships)")
    cache: Path = option(Path("cache"), "folder of the embeddings made so far, which are used again")
    device: str = option("auto", "where networks compute; auto is cuda, else mps, else cpu", choices=DEVICES)
    workers: int = option(0, "clips to render at the same time; 0 is one a core", minimum=0, maximum=1024)
    batch_size: int = option(32, "clips to embed at a time", minimum=1)


class EmbeddingCache:
    """Embeddings by the content they were made of, in an SQLite file; every batch is committed as it is made."""

    def __init__(self, folder: Path) -> None:
        """A cache that cannot be written is used as it is, which is told once. Raises `UserError` where it is none."""
        self._path = folder / "embeddings.sqlite"
        self._writable = True
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._path, timeout=60)
            self._database.execute("CREATE TABLE IF NOT EXISTS embedding (key TEXT PRIMARY KEY, vector BLOB)")
        except (OSError, sqlite3.OperationalError) as error:
            self._go_on_without_writing(error)
            place = f"{self._path.absolute().as_uri()}?immutable=1" if self._path.exists() else ":memory:"
            self._database = sqlite3.connect(place, uri=True)
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def get(self, keys: Sequence[str]) -> dict[str, np.ndarray]:
        """The embeddings, float32 (dimension,), of those keys that are there. Raises `UserError` for a damaged file."""
        found = {}
        for first in range(0, len(keys), _KEYS_A_QUERY):
            wanted = keys[first : first + _KEYS_A_QUERY]
            places = ",".join("?" * len(wanted))
            query = f"SELECT key, vector FROM embedding WHERE key IN ({places})"
            try:
                rows = self._database.execute(query, wanted).fetchall()
            except sqlite3.OperationalError:  # an empty one in memory
                return {}
            except sqlite3.DatabaseError as error:
                raise self._damaged(error) from error
            found |= {key: np.frombuffer(vector, "<f4") for key, vector in rows}
        return found

    def put(self, embeddings: dict[str, np.ndarray]) -> None:
        """Keep embeddings, all of them or, when interrupted, none."""
        if not self._writable:
            return
        rows = [(key, np.asarray(vector, "<f4").tobytes()) for key, vector in embeddings.items()]
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO embedding VALUES (?, ?)", rows)
        except sqlite3.OperationalError as error:
            self._go_on_without_writing(error)
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _go_on_without_writing(self, error: Exception) -> None:
        self._writable = False
        tqdm.write(f"{self._path}: cannot be written ({error}); the embeddings made now are not kept")

    def _damaged(self, error: Exception) -> UserError:
        return UserError(f"{self._path}: not a cache of embeddings ({error}); delete it, it is made again")


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

        Interrupted, it goes on from the last batch at the next call. Memory holds the audio of a few batches. Raises
        `UserError` where the clips are too short for an embedder.
        """
        self._require_length(rolls.shape[2])
        keys = {each.name: self._keys(each, rolls) for each in self.embedders}
        known = {each.name: self._cache.get(keys[each.name]) for each in self.embedders}
        missing = {name: _first_rows(keys[name], known[name]) for name in keys}
        rows = sorted({row for rows_of_one in missing.values() for row in rows_of_one})
        n_known, title = len(rolls) - len(rows), printable(title)
        bar = tqdm(total=len(rolls), initial=n_known, desc=title, unit=" clips", disable=not self._progress)
        for batch in self._rendered(rolls, rows):
            for each in self.embedders:
                known[each.name] |= self._embed_batch(each, batch, keys[each.name], missing[each.name])
            bar.update(len(batch))
        bar.close()
        return {
            each.name: _stack([known[each.name][key] for key in keys[each.name]], each.dimension)
            for each in self.embedders
        }

    def _embed_batch(
        self, embedder: Embedder, batch: list[tuple[int, np.ndarray]], keys: list[str], missing: set[int]
    ) -> dict[str, np.ndarray]:
        """Embed those of a batch's (row, audio) that the embedder has not seen, and keep them; by their keys."""
        chosen = [(keys[row], audio) for row, audio in batch if row in missing]
        if not chosen:
            return {}
        vectors = embedder.embed([audio for _, audio in chosen])
        made = dict(zip((key for key, _ in chosen), vectors, strict=True))
        self._cache.put(made)
        return made

    def _require_length(self, n_frames: int) -> None:
        seconds = n_frames / self._frames_per_second + TAIL_SECONDS
        for each in self.embedders:
            if seconds < each.minimum_seconds:
                raise UserError(
                    f"{each.name}: hears {each.minimum_seconds:g} s at a time, but clips of {n_frames} frames at "
                    f"{self._frames_per_second} a second last {seconds:.2f} s; take longer clips or another embedder"
                )

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


def _first_rows(keys: Sequence[str], known: Container[str]) -> set[int]:
    """The first row of each key that is not known."""
    first: dict[str, int] = {}
    for row, key in enumerate(keys):
        if key not in known:
            first.setdefault(key, row)
    return set(first.values())


def _stack(vectors: Sequence[np.ndarray], dimension: int) -> Tensor:
    """float64 (n, dimension)."""
    return torch.from_numpy(np.array(vectors, np.float64).reshape(len(vectors), dimension))


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
