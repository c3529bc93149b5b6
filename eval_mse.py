"""Reconstruction error and F1 of a CVAE on the whole test split, beside models that are none.

    python eval_mse.py --store store                                # hybrid CVAEs of every T
    python eval_mse.py --checkpoint checkpoints/cvae_pretrained_best.pth
    python eval_mse.py --seq-len 128 --leak-target                 # the published teacher forcing, to compare

Writes metrics/eval_mse-T{T}.csv (with --leak-target: eval_mse_leaking-T{T}.csv), one row a genre, genre_id -1 for all.
"""

from dataclasses import dataclass

import pandas as pd

from common.errors import run_command
from common.options import option, parse_options
from evaluation.metrics.reconstruction import MSE_LEAKING_TABLE, MSE_TABLE, measure_reconstruction
from evaluation.samples.subject import EvaluationOptions, Subject, open_subjects
from evaluation.tables import format_table
from models.checkpoint import CheckpointError

LEGEND = """\
T = {T}, {split} split, {checkpoint}. MSE: z from the encoder, {forcing}; none for notes.
MSE, free and F1: posterior mean, no teacher forcing; another song: of the same {condition}.
reported: on other music, each frame shown to its own prediction."""


@dataclass(frozen=True)
class Options(EvaluationOptions):
    """Options of this evaluation."""

    leak_target: bool = option(False, "feed each frame to its own prediction, as the published code does")


def eval_mse(options: Options) -> pd.DataFrame:
    """Measure, print and write a table for each T; returns all rows. Raises `UserError` or `CheckpointError`."""
    frame = pd.concat([_measure(subject, options) for subject in open_subjects(options)], ignore_index=True)
    table = MSE_LEAKING_TABLE if options.leak_target else MSE_TABLE
    print(*table.write_lengths(frame, options.metrics), sep="\n")
    return frame


def _measure(subject: Subject, options: Options) -> pd.DataFrame:
    frame = measure_reconstruction(subject, leak_target=options.leak_target)
    print(format_table(frame, MSE_TABLE.columns, subject.condition))
    forcing = "each frame shown to its own prediction" if options.leak_target else "teacher-forced on the frame before"
    print(LEGEND.format_map({**subject.facts, "forcing": forcing}))
    return frame


if __name__ == "__main__":
    run_command(lambda: eval_mse(parse_options(Options, __doc__)), CheckpointError)
