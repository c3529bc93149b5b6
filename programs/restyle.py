"""Restyling, measured on held-out songs: each genre's windows through the CVAE into every other genre.

    python -m programs.restyle --store store --checkpoints checkpoints/large --temperature 0.7
    python -m programs.restyle --seq-len 128 --windows 50

Writes metrics/restyling-T{T}.csv, one row for each pair of genres.
"""

from dataclasses import dataclass

import pandas as pd

from common.errors import UserError, run_command
from common.options import option, parse_options
from evaluation.metrics.genre_classifier import ClassifierOptions, open_classifier
from evaluation.metrics.restyling import RESTYLING_TABLE, measure_restyling
from evaluation.samples.clips import RealClips
from evaluation.samples.subject import EvaluationOptions, Subject, open_subjects
from evaluation.tables import format_table
from models.checkpoint import CheckpointError


@dataclass(frozen=True)
class Options(EvaluationOptions, ClassifierOptions):
    """Options of this evaluation."""

    windows: int = option(100, "windows of each genre", minimum=1, maximum=1_000_000)
    min_note_frames: int = option(2, "drop notes of fewer frames before the classifier; 1 keeps all", minimum=1)


LEGEND = """\
told target: share of windows that the genre classifier takes for the target, before and after; real ones of it: of real
windows of the target. F1 with the original; another song: with a window of another song of the original's genre."""


def eval_restyling(options: Options) -> pd.DataFrame:
    """Measure, print and write a table for each T; returns all rows. Raises `UserError` or `CheckpointError`."""
    if options.split != "test":
        raise UserError(f"--split {options.split}: the classifier has seen these songs; leave the option out")
    frame = pd.concat([_measure(subject, options) for subject in open_subjects(options)], ignore_index=True)
    print(*RESTYLING_TABLE.write_lengths(frame, options.metrics), sep="\n")
    return frame


def _measure(subject: Subject, options: Options) -> pd.DataFrame:
    clips = RealClips(subject.windows, options.seed, options.min_note_frames)
    classifier = open_classifier(clips.of_split("train"), clips.of_split("val"), options)
    frame = measure_restyling(subject, classifier, options.windows, options.min_note_frames)
    print(format_table(frame, RESTYLING_TABLE.columns))
    print(f"T = {subject.windows.seq_len}, {subject.facts['checkpoint']}. {LEGEND}")
    return frame


if __name__ == "__main__":
    run_command(lambda: eval_restyling(parse_options(Options, __doc__)), CheckpointError)
