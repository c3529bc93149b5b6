"""Reconstruction error and F1 of a CVAE on the whole test split, beside models that are none.

    python eval_mse.py --store store                                # hybrid CVAE, T = 128
    python eval_mse.py --seq-len 32 --checkpoint checkpoints/cvae_pretrained_best.pth
    python eval_mse.py --leak-target                                # the published teacher forcing, to compare

Writes metrics/eval_mse-T{T}.csv (with --leak-target: eval_mse_leaking-T{T}.csv), one row a genre, genre_id -1 for all.
"""

from dataclasses import dataclass

from common.errors import run_command
from common.options import option, parse_options
from evaluation.measures.reconstruction import measure_reconstruction
from evaluation.published import MSE, published_for
from evaluation.samples.subject import EvaluationOptions, open_subject
from evaluation.tables import Row, format_table, write_table
from models.checkpoint import CheckpointError


@dataclass(frozen=True)
class Options(EvaluationOptions):
    """Options of this evaluation."""

    leak_target: bool = option(False, "feed each frame to its own prediction, as the published code does")


COLUMNS = {
    "genre": "genre",
    "n": "windows",
    "MSE_cvae_mean": "MSE",
    "MSE_cvae_std": "+-",
    "reported": "reported",
    "MSE_zeros": "zeros",
    "MSE_pitch_mean": "pitch mean",
    "MSE_previous_frame": "prev. frame",
    "MSE_free": "MSE free",
    "frame_F1": "frame F1",
    "frame_F1_shuffled": "(shuffled)",
    "onset_F1": "onset F1",
    "onset_F1_shuffled": "(shuffled)",
}


def eval_mse(options: Options) -> list[Row]:
    """Measure, print and write the table; returns its rows. Raises `UserError` or `CheckpointError`."""
    subject = open_subject(options)
    rows = measure_reconstruction(
        subject, seed=options.seed, batch_size=options.batch_size, leak_target=options.leak_target
    )
    name = "eval_mse_leaking" if options.leak_target else "eval_mse"
    path = options.metrics / f"{name}-T{options.seq_len}.csv"
    write_table(path, rows)
    published = published_for(MSE, options.seq_len, subject.windows.store.genres)
    print(format_table([{**row, "reported": published.get(row["genre"])} for row in rows], COLUMNS))
    forcing = "each frame shown to its own prediction" if options.leak_target else "teacher-forced on the frame before"
    print(
        f"T = {options.seq_len}, {options.split} split, {subject.facts['checkpoint']}. MSE: z from the encoder, "
        f"{forcing}. MSE free and F1: posterior mean, no teacher forcing; (shuffled): against another song of the "
        "genre.\nreported: on other music, each frame shown to its own prediction."
    )
    print(path)
    return rows


if __name__ == "__main__":
    run_command(lambda: eval_mse(parse_options(Options, __doc__)), CheckpointError)
