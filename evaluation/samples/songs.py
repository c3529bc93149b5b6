"""Real songs from their beginning, to compare pieces of several minutes with."""

from dataclasses import dataclass

import numpy as np
import torch

from common.randomness import rng_at
from data.pianoroll import drop_short_notes
from data.store import RollStore


@dataclass(frozen=True)
class RealSongs:
    """The first `n_frames` frames of the songs of a split that are at least as long."""

    store: RollStore
    split: str
    seed: int
    min_note_frames: int
    n_frames: int

    def order(self, genre_id: int) -> list[int]:
        """All songs of a genre that are long enough, as rows of the store's songs, in random order."""
        index = [
            row for row, song in enumerate(self.store.songs)
            if (song.split, song.genre_id) == (self.split, genre_id) and song.n_frames >= self.n_frames
        ]  # fmt: skip
        rng = rng_at("real songs", self.seed, self.n_frames, genre_id)
        return [index[place] for place in torch.randperm(len(index), generator=rng)]

    def rolls(self, genre_id: int, count: int) -> np.ndarray:
        """The first `count` songs of the order, without short notes, bool (at most count, 128, n_frames)."""
        first_frames = [self.store.songs[row].frame_offset for row in self.order(genre_id)[:count]]
        packed = self.store.frames[np.add.outer(np.array(first_frames, np.int64), np.arange(self.n_frames))]
        return drop_short_notes(np.unpackbits(packed, axis=2).swapaxes(1, 2), self.min_note_frames)
