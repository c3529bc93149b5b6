"""Clips a second from piano rolls to sound, against `pretty_midi.fluidsynth` one clip after the other.

python -m benchmarks.rendering --store demo/store
"""

import argparse
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from audio.synthesis import SAMPLE_RATE, SYNTHS, open_renderer
from benchmarks.timing import machine, print_table
from data.pianoroll import drop_short_notes, pianoroll_to_pretty_midi
from data.store import RollStore
from data.windows import WindowSource

SEQ_LEN = 128
PROTOCOL_CLIPS = 1600  # 4 genres, 200 real and 200 generated clips of each


def read_rolls(store: RollStore, count: int) -> np.ndarray:
    windows = WindowSource(store, "test", SEQ_LEN)
    index = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))[:count]
    return drop_short_notes(windows.rolls(index).numpy(), 2)


def render_with_pretty_midi(roll: np.ndarray, frames_per_second: int) -> np.ndarray:
    return pianoroll_to_pretty_midi(roll, frames_per_second=frames_per_second).fluidsynth(fs=SAMPLE_RATE)


def rate(work: Callable[[], Iterable[np.ndarray]]) -> float:
    started = time.perf_counter()
    count = sum(1 for _ in work())
    return count / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("demo/store"))
    parser.add_argument("--clips", type=int, default=60)
    options = parser.parse_args()
    store = RollStore.open(options.store)
    rolls, frames_per_second = read_rolls(store, options.clips), store.frames_per_second
    one_by_one = "pretty_midi.fluidsynth, one by one"

    def measure() -> dict[str, float]:
        rates = {one_by_one: rate(lambda: (render_with_pretty_midi(roll, frames_per_second) for roll in rolls))}
        for synth in SYNTHS:
            renderer = open_renderer(synth)
            for workers in (1, os.cpu_count()):
                name = f"{renderer.synth}, threads: {workers}"
                rates[name] = rate(lambda r=renderer, w=workers: r.render_rolls(rolls, frames_per_second, w))
        return rates

    # Rounds, not one long run of each: the machine's speed drifts.
    rounds = [measure() for _ in range(5)]
    medians = {name: float(np.median([rates[name] for rates in rounds])) for name in rounds[0]}
    ratios = {name: np.median([rates[name] / rates[one_by_one] for rates in rounds]) for name in medians}
    rows = [[name, f"{of:.1f}", f"{ratios[name]:.1f}", f"{PROTOCOL_CLIPS / of:.0f}"] for name, of in medians.items()]
    title = f"Rendering {len(rolls)} clips of {SEQ_LEN / frames_per_second:g} s, medians of 5 rounds; {machine()}"
    print_table(title, ["", "clips/s", "ratio", f"s for {PROTOCOL_CLIPS}"], rows)


if __name__ == "__main__":
    main()
