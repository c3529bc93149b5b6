"""Which genre does the CVAE's likelihood find in a song? Accuracy and calibration, against the genre classifier.

    python -m programs.genre_likelihood --store store --checkpoints released/large --seq-len 128
    python -m programs.genre_likelihood --seq-len 32 --song-windows 2

p(y | X) from p(X | y) of a few windows of each song, tempered on the validation split. The divisor and the growth in
the table are the options --divisor and --growth of score.py for these weights.

Writes metrics/genre_likelihood-T{T}.csv, a row for each method and for windows and songs, and a calibration plot, .png.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import option, parse_options
from common.torchrun import run_divided
from evaluation.options import ClassifierOptions, CvaeOptions
from models.errors import CheckpointError

if TYPE_CHECKING:
    import pandas as pd

    from evaluation.samples.evaluated import Subject


@dataclass(frozen=True)
class Options(CvaeOptions, ClassifierOptions):
    """Options of this evaluation."""

    song_windows: int = option(4, "windows of each song, at most, evenly spread over it", minimum=1, maximum=1_000_000)
    importance_samples: int = option(2, "z for each window and genre", minimum=1)
    min_note_frames: int = option(2, "drop notes of fewer frames before classification; 1 keeps all", minimum=1)


LEGEND = """\
T = {T}, {split} split, {checkpoint}. by likelihood: p(y | X) from p(X | y) with equal p(y). Tempered on the validation
split: log-likelihoods of n windows are divided by divisor * n^growth. untempered: of their sums. majority: always
the commonest {condition}."""


def identify_genres(options: Options) -> "pd.DataFrame":
    """Measure, print and write a table and a plot for each T; returns all rows.

    Raises `UserError` or `CheckpointError`.
    """
    from common.device import select_device
    from evaluation.metrics.genre_classifier import open_classifier
    from evaluation.metrics.genre_likelihood import GENRE_LIKELIHOOD_TABLE, measure_genre_likelihood
    from evaluation.samples.clips import RealClips
    from evaluation.samples.evaluated import open_subjects
    from evaluation.tables import format_table, run_table
    from figures.calibration_chart import save_calibration_chart

    panels = {}

    def picture(seq_len: int) -> Path:
        return GENRE_LIKELIHOOD_TABLE.path(options.metrics, seq_len).with_suffix(".png")

    def measure(subject: "Subject") -> "pd.DataFrame":
        real = RealClips(subject.windows, options.seed, options.min_note_frames)
        found = measure_genre_likelihood(
            subject, open_classifier(real, options, select_device(options.device)), song_windows=options.song_windows,
            importance_samples=options.importance_samples, min_note_frames=options.min_note_frames,
        )  # fmt: skip
        panels.setdefault(subject.seq_len, {})[subject.facts["origin"]] = found.reliability
        return found.frame

    frame = run_table(
        GENRE_LIKELIHOOD_TABLE, open_subjects(options), measure, options.metrics, options.seq_lens,
        lambda rows: [format_table(rows, GENRE_LIKELIHOOD_TABLE.columns), LEGEND.format(**rows.iloc[-1])],
        also=map(picture, options.seq_lens),
    )  # fmt: skip
    for seq_len, of_weights in panels.items():
        save_calibration_chart(picture(seq_len), of_weights, title=f"{frame['condition'].iloc[0]}, T = {seq_len}")
        print(picture(seq_len))
    return frame


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: identify_genres(parse_options(Options, __doc__))), CheckpointError)
