"""Musical features of generated clips and of real ones: in which musical terms do they differ?

    python eval_music.py --store store                    # every T that has a generator, 1000 clips of each genre
    python eval_music.py --seq-len 32 --clips 200        # quicker
    python eval_music.py --checkpoint checkpoints/generator_pretrained_best.pth

Writes metrics/music-T{T}.csv, a row for each genre and feature, genre_id -1 for all. An overview in pandas:

    frame = pd.read_csv("metrics/music-T32.csv", keep_default_na=False, na_values=[""])
    frame.pivot(index="feature", columns="genre_name", values="overlap_area")
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import option, parse_options
from common.torchrun import run_divided
from evaluation.options import ClipOptions
from models.errors import CheckpointError

if TYPE_CHECKING:
    import pandas as pd

    from evaluation.samples.clips import ClipSource

LEGEND = """\
T = {T}, {n_fake} generated clips of {checkpoint} and as many real ones of the {split} split.
overlap: area that the distributions of generated and real clips share; 1 if they are equal.
real halves: real clips against others of the same songs, absolute difference; the effect of chance.
chord_size: notes that begin in a frame with onsets. onset_follows: share of these frames directly after another one.
nearest: share of a clip that the nearest training window has, in any key; memorised: over half of its notes.
training songs: their real clips against the real ones; the score of a generator that replays them."""


@dataclass(frozen=True)
class Options(ClipOptions):
    """Options of this evaluation."""

    clips: int = option(
        1000, "generated and real clips of a genre; at most half of its real ones", minimum=1, maximum=1_000_000
    )
    novelty_clips: int = option(
        100, "of these, to compare with every training window; 0 leaves novelty out", minimum=0, maximum=1_000_000
    )


def eval_music(options: Options) -> "pd.DataFrame":
    """Measure, print and write a table for each T; returns all rows. Raises `UserError` or `CheckpointError`."""
    from evaluation.metrics.music import MUSIC_TABLE, measure_music, overlap_by_genre
    from evaluation.samples.clips import open_clip_sources
    from evaluation.tables import format_table, of_all, run_table

    def show(rows: "pd.DataFrame") -> list[str]:
        every, (overlap, columns) = of_all(rows), overlap_by_genre(rows)
        legend = LEGEND.format(**{**every.iloc[0], "n_fake": every["n_fake"].max()})
        title = f"\noverlap by {every['condition'].iloc[0]}"
        return [format_table(every, MUSIC_TABLE.columns), title, format_table(overlap, columns), legend]

    def measure(source: "ClipSource") -> "pd.DataFrame":
        return measure_music(source, options.clips, options.novelty_clips)

    return run_table(MUSIC_TABLE, open_clip_sources(options), measure, options.metrics, options.seq_lens, show)


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: eval_music(parse_options(Options, __doc__))), CheckpointError)
