"""The Fréchet audio distance protocol, against one clip after the other with pretty_midi and a matrix square root.

    python -m benchmarks.fad --store store
    python -m benchmarks.fad --store store --synth tinysoundfont --clips 50

No model takes part: other real clips stand for the generated ones. The baseline renders and embeds a few clips, and its
time for all of them is calculated from those; its scores are of all.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from audio.embedders.embedder import EMBEDDERS, open_embedder
from audio.synthesis import SAMPLE_RATE, SYNTHS, open_renderer
from benchmarks.timing import machine, print_table
from common.device import prepare_process
from data.pianoroll import pianoroll_to_pretty_midi
from evaluation.metrics.fad import EmptyClipOptions, choose_clips
from evaluation.samples.clip_embeddings import ClipEmbedder
from evaluation.samples.clips import RealClipOptions, open_real_clips
from evaluation.statistics.distances import frechet_distance


def sqrtm_distance(first: Tensor, second: Tensor) -> float:
    """The usual form of the distance."""
    c1, c2 = (np.cov(rows.numpy(), rowvar=False) for rows in (first, second))
    root = scipy.linalg.sqrtm(c1 @ c2).real
    return float((first.mean(0) - second.mean(0)).square().sum() + np.trace(c1 + c2 - 2 * root))


def score(distance, genres: list[tuple[Tensor, Tensor]]) -> list[float]:
    pooled = tuple(torch.cat(side) for side in zip(*genres, strict=True))
    return [distance(*pair) for pair in [*genres, pooled]]


def timed(function) -> tuple[float, object]:
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("store"))
    parser.add_argument("--seq-len", type=int, default=128)
    parser.add_argument("--clips", type=int, default=200, help="of each genre on each side")
    parser.add_argument("--baseline-clips", type=int, default=24, help="clips that the baseline renders and embeds")
    parser.add_argument("--synth", choices=SYNTHS, default=SYNTHS[0])
    parser.add_argument("--embedder", choices=EMBEDDERS, default="MTT_musicnn")
    arguments = parser.parse_args()
    prepare_process(torch.device("cpu"))

    real = open_real_clips(RealClipOptions(store=arguments.store), arguments.seq_len)
    rate = real.windows.store.frames_per_second
    n_genres = len(real.windows.store.genres)
    rolls = [choose_clips(real, genre, 2 * arguments.clips, EmptyClipOptions()).rolls for genre in range(n_genres)]
    everything = np.concatenate(rolls)
    renderer, embedder = open_renderer(arguments.synth), open_embedder(arguments.embedder)
    embedder.embed([next(renderer.render_rolls(everything[:1], rate))])  # warm up

    few = everything[: arguments.baseline_clips]
    slow_render, sounds = timed(
        lambda: [pianoroll_to_pretty_midi(r, frames_per_second=rate).fluidsynth(fs=SAMPLE_RATE) for r in few]
    )
    slow_embed, _ = timed(lambda: [embedder.embed([sound.astype(np.float32)]) for sound in sounds])
    batch = list(renderer.render_rolls(everything[:256], rate))
    our_render, _ = timed(lambda: sum(1 for _ in renderer.render_rolls(everything[:256], rate)))
    our_embed, _ = timed(lambda: [embedder.embed(batch[first : first + 32]) for first in range(0, len(batch), 32)])
    with tempfile.TemporaryDirectory() as folder:
        clips = ClipEmbedder(renderer, [embedder], Path(folder), rate)
        our_clips, embedded = timed(lambda: [clips.embed(genre)[embedder.name] for genre in rolls])
        cached, _ = timed(lambda: [clips.embed(genre) for genre in rolls])
    genres = [tuple(genre.chunk(2)) for genre in embedded]
    our_score, ours = timed(lambda: score(frechet_distance, genres))
    slow_score, theirs = timed(lambda: score(sqrtm_distance, genres))

    per_clip = (slow_render + slow_embed) / len(few)
    slow_total, our_total = len(everything) * per_clip + slow_score, our_clips + our_score
    print(f"{machine()}; T = {arguments.seq_len}, {len(everything)} clips, {renderer.synth}, {embedder.identity}")
    rows = [
        ("render, clips/s", len(few) / slow_render, len(batch) / our_render),
        ("embed, clips/s", len(few) / slow_embed, len(batch) / our_embed),
        ("score, 1/s", 1 / slow_score, 1 / our_score),
        ("whole protocol, clips/s", len(everything) / slow_total, len(everything) / our_total),
    ]
    table = [(name, f"{slow:.3g}", f"{fast:.3g}", f"{fast / slow:.1f}") for name, slow, fast in rows]
    print_table("One by one against ours", ("", "one by one", "ours", "ratio"), table)
    again = cached + our_score
    print(f"\nwhole protocol: {slow_total:.0f} s one by one, {our_total:.0f} s ours, {again:.2f} s from the cache")
    print("largest difference of the distances:", f"{max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.2g}")


if __name__ == "__main__":
    main()
