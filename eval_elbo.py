"""ELBO of a CVAE on the whole test split without teacher forcing, and the true bound in nats and bits.

    python eval_elbo.py --store store                               # hybrid CVAEs of every T
    python eval_elbo.py --checkpoint checkpoints/cvae_pretrained_best.pth

Writes metrics/eval_elbo-T{T}.csv, one row a genre, genre_id -1 for all, and metrics/eval_elbo_latents-T{T}.csv, one row
a latent dimension.
"""

from dataclasses import dataclass

import pandas as pd

from common.errors import run_command
from common.options import option, parse_options
from evaluation.measures.elbo import ELBO_TABLE, LATENTS_TABLE, measure_elbo
from evaluation.samples.subject import EvaluationOptions, Subject, open_subjects
from evaluation.tables import format_table
from models.checkpoint import CheckpointError


@dataclass(frozen=True)
class Options(EvaluationOptions):
    """Options of this evaluation."""

    beta: float = option(0.01, "weight of the KL divergence in the report's ELBO", minimum=0)


def eval_elbo(options: Options) -> pd.DataFrame:
    """Measure, print and write the tables of each T; returns the rows by genre of all.

    Raises `UserError` or `CheckpointError`.
    """
    return pd.concat([_evaluate(subject, options) for subject in open_subjects(options)], ignore_index=True)


def _evaluate(subject: Subject, options: Options) -> pd.DataFrame:
    seq_len = subject.windows.seq_len
    frames = measure_elbo(subject, beta=options.beta)
    path = ELBO_TABLE.write(frames.genres, options.metrics, seq_len)
    latents_path = LATENTS_TABLE.write(frames.latents, options.metrics, seq_len)
    print(format_table(frames.genres, ELBO_TABLE.columns, subject.condition))
    print(
        f"T = {seq_len}, {options.split} split, {subject.facts['checkpoint']}. recon: squared error summed over the "
        f"roll, no teacher forcing, feedback {options.feedback}; ELBO = -(recon + {options.beta:g} KL).\n"
        "true ELBO: Bernoulli likelihood, beta = 1; bits / cell of it, beside models without a latent that know each "
        "pitch's rate, or its rate given the frame before.\nreported: on other music, teacher-forced."
    )
    print(f"{path}\n{latents_path}")
    return frames.genres


if __name__ == "__main__":
    run_command(lambda: eval_elbo(parse_options(Options, __doc__)), CheckpointError)
