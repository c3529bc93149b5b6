"""Reconstruction error and F1 of a CVAE on the whole test split, with trivial baselines.

    python eval_mse.py --store store                                # hybrid CVAEs of every T
    python eval_mse.py --checkpoint checkpoints/cvae_pretrained_best.pth
    python eval_mse.py --seq-len 128 --leak-target                 # with the published teacher forcing

Writes metrics/eval_mse-T{T}.csv (with --leak-target: eval_mse_leaking-T{T}.csv), a row for each genre, genre_id -1 for
all.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import option, parse_options
from common.torchrun import run_divided
from evaluation.options import DecodingOptions
from models.errors import CheckpointError

if TYPE_CHECKING:
    import pandas as pd

LEGEND = """\
T = {T}, {split} split, {checkpoint}. MSE: z from the encoder, {forcing}; none for note decoders.
MSE, free and F1: posterior mean, no teacher forcing; another song: of the same {condition}.
reported: on other music, each frame shown to its own prediction."""


@dataclass(frozen=True)
class Options(DecodingOptions):
    """Options of this evaluation."""

    leak_target: bool = option(False, "show each frame to its own prediction, as the published code does")


def eval_mse(options: Options) -> "pd.DataFrame":
    """Measure, print and write a table for each T; returns all rows. Raises `UserError` or `CheckpointError`."""
    from evaluation.metrics.reconstruction import MSE_LEAKING_TABLE, MSE_TABLE, measure_reconstruction
    from evaluation.samples.evaluated import open_subjects
    from evaluation.tables import format_table, run_table

    leak = options.leak_target
    forcing = "each frame shown to its own prediction" if leak else "teacher-forced on the previous frame"
    return run_table(
        MSE_LEAKING_TABLE if leak else MSE_TABLE,
        open_subjects(options),
        lambda subject: measure_reconstruction(subject, leak_target=leak),
        options.metrics,
        options.seq_lens,
        lambda rows: [format_table(rows, MSE_TABLE.columns), LEGEND.format(**rows.iloc[-1], forcing=forcing)],
    )


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: eval_mse(parse_options(Options, __doc__))), CheckpointError)
