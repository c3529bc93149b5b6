"""Restyling of held-out songs: each genre's windows through the CVAE into every other genre.

    python -m programs.restyle --store store --checkpoints checkpoints/large --temperature 0.7
    python -m programs.restyle --seq-len 128 --windows 50

Writes metrics/restyling-T{T}.csv, a row for each pair of genres.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import option, parse_options
from common.torchrun import run_divided
from evaluation.options import ClassifierOptions, DecodingOptions
from models.errors import CheckpointError

if TYPE_CHECKING:
    import pandas as pd

    from evaluation.samples.evaluated import Subject


@dataclass(frozen=True)
class Options(DecodingOptions, ClassifierOptions):
    """Options of this evaluation."""

    windows: int = option(100, "windows of each genre", minimum=1, maximum=1_000_000)
    min_note_frames: int = option(2, "drop notes of fewer frames before classification; 1 keeps all", minimum=1)


LEGEND = """\
T = {T}, {checkpoint}. as target: share of windows that the genre classifier assigns to the target, before and after;
real target: the same of real windows of the target. F1 against the original; another song: against a window of another
song of the original's genre."""


def eval_restyling(options: Options) -> "pd.DataFrame":
    """Measure, print and write a table for each T; returns all rows. Raises `UserError` or `CheckpointError`."""
    from common.device import select_device
    from evaluation.metrics.genre_classifier import open_classifier
    from evaluation.metrics.restyling import RESTYLING_TABLE, measure_restyling
    from evaluation.samples.clips import RealClips
    from evaluation.samples.evaluated import open_subjects
    from evaluation.tables import format_table, run_table

    def measure(subject: "Subject") -> "pd.DataFrame":
        real = RealClips(subject.windows, options.seed, options.min_note_frames)
        classifier = open_classifier(real, options, select_device(options.device))
        return measure_restyling(subject, classifier, options.windows, options.min_note_frames)

    return run_table(
        RESTYLING_TABLE, open_subjects(options), measure, options.metrics, options.seq_lens,
        lambda rows: [format_table(rows, RESTYLING_TABLE.columns), LEGEND.format(**rows.iloc[-1])],
    )  # fmt: skip


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: eval_restyling(parse_options(Options, __doc__))), CheckpointError)
