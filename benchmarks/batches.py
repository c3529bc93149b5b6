"""Windows per second of batches, compared with a Dataset that unpacks one window at a time for a DataLoader.

    python -m benchmarks.batches --store demo/store

Prints Markdown tables.
"""

import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import machine, parse_arguments, print_table, seconds
from common.device import keep_freed_memory
from data.store import RollStore
from data.windows import WindowSource

BATCH, MAX_EVENTS = 512, 512
BASELINE_SECONDS = 8.0
SEQ_LENS = (32, 128)


class OneByOne(Dataset):
    """The baseline: each item unpacks its own frames and pads its events."""

    def __init__(self, store: RollStore, split: str, seq_len: int) -> None:
        self.store, self.seq_len = store, seq_len
        self.song, self.first = store.windows(split, seq_len)

    def __len__(self) -> int:
        return len(self.song)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        store, row, first = self.store, self.store.songs[self.song[index]], self.first[index]
        packed = store.frames[first : first + self.seq_len]
        roll = torch.from_numpy(np.unpackbits(packed, axis=1).T.astype(np.float32))
        notes = slice(row.note_offset, row.note_offset + row.n_notes)
        start, length = (n / store.frames_per_second for n in (first - row.frame_offset, self.seq_len))
        low, high = np.searchsorted(store.onset_seconds[notes], [start, start + length])
        inside = slice(row.note_offset + low, row.note_offset + min(high, low + MAX_EVENTS))
        onset = (store.onset_seconds[inside] - start) / length
        columns = (onset, store.pitch[inside] / 127, store.velocity[inside] / 127)
        events = torch.zeros(MAX_EVENTS, 3)
        events[: len(onset)] = torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))
        return roll, events, row.genre_id


def loader_rate(store: RollStore, seq_len: int, workers: int) -> float:
    """Windows per second of the baseline."""
    batches = iter(DataLoader(OneByOne(store, "train", seq_len), BATCH, shuffle=True, num_workers=workers))
    next(batches)
    started, windows = time.perf_counter(), 0
    for _, _, genre in batches:
        windows += len(genre)
        if time.perf_counter() - started > BASELINE_SECONDS:
            break
    return windows / (time.perf_counter() - started)


def our_rate(store: RollStore, seq_len: int) -> float:
    source = WindowSource(store, "train", seq_len)
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))
    indices = iter(order.repeat(50).split(BATCH))
    return BATCH / seconds(lambda: source.batch(next(indices)), repeats=25)


def fill_rate(seq_len: int) -> float:
    """The upper limit: filling an allocated buffer of a batch's size."""
    buffer = torch.empty(BATCH, seq_len, 128)
    return BATCH / seconds(lambda: buffer.fill_(1.0), repeats=25)


def main() -> None:
    store = RollStore.open(parse_arguments(__doc__, store=(Path("demo/store"), "roll store")).store)
    table = {
        f"Dataset + DataLoader, {workers} workers": [loader_rate(store, seq_len, workers) for seq_len in SEQ_LENS]
        for workers in (0, 2)
    }
    best = [max(rates) for rates in zip(*table.values(), strict=True)]
    table["ours, memory handed back to the system"] = [our_rate(store, seq_len) for seq_len in SEQ_LENS]
    keep_freed_memory()
    table["ours, freed memory kept (as in training)"] = [our_rate(store, seq_len) for seq_len in SEQ_LENS]
    table["filling a buffer of the batch's size"] = [fill_rate(seq_len) for seq_len in SEQ_LENS]
    rows = [[name, a, f"{a / best[0]:.1f}", b, f"{b / best[1]:.1f}"] for name, (a, b) in table.items()]
    heading = ["windows/s", "T = 32", "ratio", "T = 128", "ratio"]
    print_table(f"Batches of {BATCH}: roll, events, genre; {machine()}", heading, rows)


if __name__ == "__main__":
    main()
