"""Speed of the Fréchet audio distance, compared with pretty_midi, one clip after the other, and a matrix square root.

    python -m benchmarks.fad --store store
    python -m benchmarks.fad --store store --synth tinysoundfont --clips 50

No model is involved: other real clips replace the generated ones. The baseline renders and embeds only a few clips, and
its total time is extrapolated from them; both sides score all clips.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from audio.embedders.embedder import open_embedder
from audio.options import EMBEDDERS, SYNTHS
from audio.synthesis import SAMPLE_RATE, open_renderer
from benchmarks.timing import machine, parse_arguments, print_table, speeds, timed
from common.device import prepare_process
from data.pianoroll import pianoroll_to_pretty_midi
from evaluation.metrics.fad import choose_clips
from evaluation.options import EmptyClipOptions, RealClipOptions
from evaluation.samples.clip_embeddings import ClipEmbedder
from evaluation.samples.clips import open_real_clips
from evaluation.statistics.distances import frechet_distance


def sqrtm_distance(first: Tensor, second: Tensor) -> float:
    """The usual formula of the distance."""
    c1, c2 = (np.cov(rows.numpy(), rowvar=False) for rows in (first, second))
    root = scipy.linalg.sqrtm(c1 @ c2).real
    return float((first.mean(0) - second.mean(0)).square().sum() + np.trace(c1 + c2 - 2 * root))


def distances(distance: Callable[[Tensor, Tensor], float], genres: list[tuple[Tensor, Tensor]]) -> list[float]:
    """The distance for each genre, and for all genres together."""
    pooled = tuple(torch.cat(side) for side in zip(*genres, strict=True))
    return [distance(*pair) for pair in [*genres, pooled]]


def main() -> None:
    options = parse_arguments(
        __doc__,
        store=(Path("store"), "roll store"),
        seq_len=(128, "frames of a clip"),
        clips=(200, "clips of each genre on each side"),
        baseline_clips=(24, "clips that the baseline renders and embeds"),
        synth=(SYNTHS[0], "synthesiser", SYNTHS),
        embedder=("MTT_musicnn", "network that embeds the sound", EMBEDDERS),
    )
    prepare_process(torch.device("cpu"))
    real = open_real_clips(RealClipOptions(store=options.store), options.seq_len)
    store = real.windows.store
    fps, n_genres = store.frames_per_second, len(store.genres)
    rolls = [choose_clips(real, genre, 2 * options.clips, EmptyClipOptions()).rolls for genre in range(n_genres)]
    all_rolls = np.concatenate(rolls)
    renderer, embedder = open_renderer(options.synth), open_embedder(options.embedder)
    embedder.embed([next(renderer.render_rolls(all_rolls[:1], fps))])  # warm up

    few = all_rolls[: options.baseline_clips]
    slow_render, sounds = timed(
        lambda: [pianoroll_to_pretty_midi(r, frames_per_second=fps).fluidsynth(fs=SAMPLE_RATE) for r in few]
    )
    slow_embed, _ = timed(lambda: [embedder.embed([sound.astype(np.float32)]) for sound in sounds])
    render, batch = timed(lambda: list(renderer.render_rolls(all_rolls[:256], fps)))
    embed, _ = timed(lambda: [embedder.embed(batch[first : first + 32]) for first in range(0, len(batch), 32)])
    with tempfile.TemporaryDirectory() as folder:
        clips = ClipEmbedder(renderer, [embedder], Path(folder), fps)
        all_clips, embedded = timed(lambda: [clips.embed(genre)[embedder.name] for genre in rolls])
        cached, _ = timed(lambda: [clips.embed(genre) for genre in rolls])
    genres = [tuple(genre.chunk(2)) for genre in embedded]
    score, ours = timed(lambda: distances(frechet_distance, genres))
    slow_score, theirs = timed(lambda: distances(sqrtm_distance, genres))

    slow_total = len(all_rolls) * (slow_render + slow_embed) / len(few) + slow_score
    total = all_clips + score
    print(f"{machine()}; T = {options.seq_len}, {len(all_rolls)} clips, {renderer.synth}, {embedder.identity}")
    rows = [
        speeds("render, clips/s", slow_render / len(few), render / len(batch), 1),
        speeds("embed, clips/s", slow_embed / len(few), embed / len(batch), 1),
        speeds("score, 1/s", slow_score, score, 1),
        speeds("whole protocol, clips/s", slow_total, total, len(all_rolls)),
    ]
    print_table("One by one against ours", ("", "one by one", "ours", "ratio"), rows)
    print(f"\nwhole protocol: {slow_total:.0f} s one by one, {total:.0f} s ours, {cached + score:.2f} s from the cache")
    print("largest difference of the distances:", f"{max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.2g}")


if __name__ == "__main__":
    main()
