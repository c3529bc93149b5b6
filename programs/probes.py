"""What is in the CVAE's vectors of songs? Linear probes for genre, artist and note density, with simple baselines.

    python -m programs.probes --store store --checkpoints released/large --seq-len 128
    python -m programs.probes --store store --artists-of classical --artist-songs 12

The vectors "embedding" are those of torch.hub's entry. Artists, such as composers, come from the
column `artist` of the label file. Writes metrics/probes-T{T}.csv, a row for each probe and kind of vectors.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import option, parse_options
from common.torchrun import run_divided
from evaluation.options import CvaeOptions
from models.errors import CheckpointError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Options(CvaeOptions):
    """Options of this evaluation."""

    song_windows: int = option(4, "windows of each song, at most, evenly spread over it", minimum=1, maximum=1_000_000)
    artist_songs: int = option(10, "training songs of an artist, at least", minimum=1)
    artists_of: str | None = option(None, "artists of this genre only")


LEGEND = """\
T = {T}, {split} split, {checkpoint}. Linear models of the mean vector of a song, fitted on the training split; their
penalty has the best score on the validation split. ±: standard deviation over resampled songs. majority: always the
commonest value. shuffled: fitted to labels shuffled among the songs. Notes a second are a part of the vectors
density and, summed, of pitches and onsets."""


def probe_vectors(options: Options) -> "pd.DataFrame":
    """Measure, print and write a table for each T; returns all rows. Raises `UserError` or `CheckpointError`."""
    from evaluation.metrics.probes import PROBES_TABLE, measure_probes
    from evaluation.samples.evaluated import open_subjects
    from evaluation.tables import format_table, run_table

    chosen = {"artist_songs": options.artist_songs, "artists_of": options.artists_of}
    return run_table(
        PROBES_TABLE, open_subjects(options),
        lambda subject: measure_probes(subject, song_windows=options.song_windows, **chosen),
        options.metrics, options.seq_lens,
        lambda rows: [format_table(rows, PROBES_TABLE.columns), LEGEND.format(**rows.iloc[-1])],
    )  # fmt: skip


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: probe_vectors(parse_options(Options, __doc__))), CheckpointError)
