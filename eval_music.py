"""Musical features of generated clips beside real ones: what is wrong with the music, in musical terms.

    python eval_music.py --store store                    # every T that has a generator, 1000 clips a genre
    python eval_music.py --seq-len 32 --clips 200        # quicker
    python eval_music.py --checkpoint checkpoints/generator_pretrained_best.pth

Writes metrics/music-T{T}.csv, one row a genre and feature, genre_id -1 for all. A picture of the whole in pandas:

    pd.read_csv("metrics/music-T32.csv").pivot(index="feature", columns="genre_name", values="overlap_area")
"""

from dataclasses import dataclass

import pandas as pd

from common.errors import run_command
from common.options import option, parse_options
from evaluation.metrics.music import MUSIC_TABLE, measure_music, overlap_by_genre
from evaluation.samples.clips import ClipOptions, ClipSource, open_clip_sources
from evaluation.tables import format_table, of_all
from models.checkpoint import CheckpointError

LEGEND = """\
T = {T}, {n} generated clips of {checkpoint} and as many real ones of the {split} split.
overlap: area that the distributions of generated and real clips share; 1 if they are alike.
real halves: real clips against others of the same songs, absolute difference; what chance leaves.
nearest: how much of a clip the nearest training window has, in any key; memorised: over half of its notes.
training songs: real clips of those against the real ones; a generator that plays them back."""


@dataclass(frozen=True)
class Options(ClipOptions):
    """Options of this evaluation."""

    clips: int = option(
        1000, "generated and real clips of a genre; at most half of its real ones", minimum=1, maximum=1_000_000
    )
    novelty_clips: int = option(
        100, "of these, to compare with every training window; 0 leaves novelty out", minimum=0, maximum=1_000_000
    )


def eval_music(options: Options) -> pd.DataFrame:
    """Measure, print and write a table for each T; returns all rows. Raises `UserError` or `CheckpointError`."""
    frame = pd.concat([_measure(source, options) for source in open_clip_sources(options)], ignore_index=True)
    print(*MUSIC_TABLE.write_lengths(frame, options.metrics), sep="\n")
    return frame


def _measure(source: ClipSource, options: Options) -> pd.DataFrame:
    frame = measure_music(source, options.clips, options.novelty_clips)
    every = of_all(frame)
    print(format_table(every, MUSIC_TABLE.columns))
    print(f"\noverlap by {source.trained.condition}")
    print(format_table(*overlap_by_genre(frame)))
    print(LEGEND.format(**source.facts, n=every["n_fake"].max()))
    return frame


if __name__ == "__main__":
    run_command(lambda: eval_music(parse_options(Options, __doc__)), CheckpointError)
