"""Windows a second of batches, against a Dataset that unpacks one window at a time behind a DataLoader.

    python -m benchmarks.batches --store demo/store
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import machine, print_table, seconds
from common.device import keep_freed_memory
from data.store import RollStore
from data.windows import WindowSource

BATCH = 512
MOST_EVENTS = 512


class OneByOne(Dataset):
    """The baseline: every item unpacks its own frames and pads its events."""

    def __init__(self, store: RollStore, split: str, seq_len: int) -> None:
        self.store, self.seq_len = store, seq_len
        self.song, self.first = store.windows(split, seq_len)

    def __len__(self) -> int:
        return len(self.song)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        row, first = self.store.songs[self.song[index]], self.first[index]
        packed = self.store.frames[first : first + self.seq_len]
        roll = torch.from_numpy(np.unpackbits(packed, axis=1).T.astype(np.float32))
        notes = slice(row.note_offset, row.note_offset + row.n_notes)
        start = (first - row.frame_offset) / self.store.frames_per_second
        length = self.seq_len / self.store.frames_per_second
        low, high = np.searchsorted(self.store.onset_seconds[notes], [start, start + length])
        inside = slice(row.note_offset + low, row.note_offset + min(high, low + MOST_EVENTS))
        events = torch.zeros(MOST_EVENTS, 3)
        columns = (
            (self.store.onset_seconds[inside] - start) / length,
            self.store.pitch[inside] / 127,
            self.store.velocity[inside] / 127,
        )
        events[: inside.stop - inside.start] = torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))
        return roll, events, row.genre_id


def loader_rate(store: RollStore, seq_len: int, workers: int, budget: float = 8.0) -> float:
    """Windows a second of the baseline, over about `budget` seconds."""
    loader = DataLoader(OneByOne(store, "train", seq_len), BATCH, shuffle=True, num_workers=workers)
    batches = iter(loader)
    next(batches)
    started, windows = time.perf_counter(), 0
    for _, _, genre in batches:
        windows += len(genre)
        if time.perf_counter() - started > budget:
            break
    return windows / (time.perf_counter() - started)


def our_rate(store: RollStore, seq_len: int) -> float:
    source = WindowSource(store, "train", seq_len)
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))
    indices = iter(order.repeat(50).split(BATCH))
    return BATCH / seconds(lambda: source.batch(next(indices)), repeats=25)


def fill_rate(seq_len: int) -> float:
    """The floor: filling a buffer of a batch's size, which is allocated once."""
    buffer = torch.empty(BATCH, seq_len, 128)
    return BATCH / seconds(lambda: buffer.fill_(1.0), repeats=25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("demo/store"))
    store = RollStore.open(parser.parse_args().store)
    table: dict[str, list[float]] = {}
    for seq_len in (32, 128):
        for workers in (0, 2):
            name = f"Dataset + DataLoader, {workers} workers"
            table.setdefault(name, []).append(loader_rate(store, seq_len, workers))
    for seq_len in (32, 128):
        table.setdefault("ours, memory handed back to the system", []).append(our_rate(store, seq_len))
    keep_freed_memory()
    for seq_len in (32, 128):
        table.setdefault("ours, freed memory kept (as in training)", []).append(our_rate(store, seq_len))
        table.setdefault("filling a buffer of the batch's size", []).append(fill_rate(seq_len))
    best = [max(table[f"Dataset + DataLoader, {workers} workers"][column] for workers in (0, 2)) for column in (0, 1)]
    rows = [
        [name, rates[0], f"{rates[0] / best[0]:.1f}", rates[1], f"{rates[1] / best[1]:.1f}"]
        for name, rates in table.items()
    ]
    heading = ["windows/s", "T = 32", "ratio", "T = 128", "ratio"]
    print_table(f"Batches of {BATCH}: roll, events, genre; {machine()}", heading, rows)


if __name__ == "__main__":
    main()
