"""Clips per second from piano rolls to sound, compared with `pretty_midi.fluidsynth` for one clip after the other.

    python -m benchmarks.rendering --store demo/store

Prints Markdown tables.
"""

import os
from pathlib import Path

import numpy as np
import torch

from audio.options import SYNTHS
from audio.synthesis import SAMPLE_RATE, open_renderer
from benchmarks.timing import machine, parse_arguments, print_table, rate
from data.pianoroll import drop_short_notes, pianoroll_to_pretty_midi
from data.store import RollStore
from data.windows import WindowSource

SEQ_LEN, ROUNDS = 128, 5
PROTOCOL_CLIPS = 1600  # 4 genres with 200 real and 200 generated clips each
BASELINE = "pretty_midi.fluidsynth, one by one"


def read_rolls(store: RollStore, count: int) -> np.ndarray:
    windows = WindowSource(store, "test", SEQ_LEN)
    index = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))[:count]
    return drop_short_notes(windows.rolls(index).numpy(), 2)


def clip_rates(rolls: np.ndarray, frames_per_second: int) -> dict[str, float]:
    """Clips per second of the baseline, and of each synthesiser with one thread and with all cores."""
    clips = (pianoroll_to_pretty_midi(roll, frames_per_second=frames_per_second) for roll in rolls)
    rates = {BASELINE: rate(clip.fluidsynth(fs=SAMPLE_RATE) for clip in clips)}
    for synth in SYNTHS:
        renderer = open_renderer(synth)
        for threads in (1, os.cpu_count()):
            name = f"{renderer.synth}, threads: {threads}"
            rates[name] = rate(renderer.render_rolls(rolls, frames_per_second, threads))
    return rates


def main() -> None:
    options = parse_arguments(__doc__, store=(Path("demo/store"), "roll store"), clips=(60, "number of clips"))
    store = RollStore.open(options.store)
    rolls, rows = read_rolls(store, options.clips), []
    # Rounds instead of one long run of each: the machine's speed drifts.
    rounds = [clip_rates(rolls, store.frames_per_second) for _ in range(ROUNDS)]
    for name in rounds[0]:
        clips = float(np.median([rates[name] for rates in rounds]))
        ratio = np.median([rates[name] / rates[BASELINE] for rates in rounds])
        rows.append([name, f"{clips:.1f}", f"{ratio:.1f}", f"{PROTOCOL_CLIPS / clips:.0f}"])
    clip_seconds = SEQ_LEN / store.frames_per_second
    title = f"Rendering {len(rolls)} clips of {clip_seconds:g} s, medians of {ROUNDS} rounds; {machine()}"
    print_table(title, ["", "clips/s", "ratio", f"s for {PROTOCOL_CLIPS}"], rows)


if __name__ == "__main__":
    main()
