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
from evaluation.metrics.elbo import ELBO_TABLE, LATENTS_TABLE, ElboFrames, measure_elbo
from evaluation.samples.subject import EvaluationOptions, Subject, open_subjects
from evaluation.tables import format_table
from models.checkpoint import CheckpointError


@dataclass(frozen=True)
class Options(EvaluationOptions):
    """Options of this evaluation."""

    beta: float = option(0.01, "weight of the KL divergence in the report's ELBO", minimum=0)
    importance_samples: int = option(8, "z a window for the importance weighted bound; 0 leaves it out", minimum=0)


def eval_elbo(options: Options) -> pd.DataFrame:
    """Measure, print and write the tables of each T; returns the rows by genre of all.

    Raises `UserError` or `CheckpointError`.
    """
    parts = [_measure(subject, options) for subject in open_subjects(options)]
    genres, latents = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
    paths = ELBO_TABLE.write_lengths(genres, options.metrics) + LATENTS_TABLE.write_lengths(latents, options.metrics)
    print(*paths, sep="\n")
    return genres


def _measure(subject: Subject, options: Options) -> ElboFrames:
    frames = measure_elbo(subject, beta=options.beta, importance_samples=options.importance_samples)
    print(format_table(frames.genres, ELBO_TABLE.columns, subject.condition))
    print(
        f"T = {subject.windows.seq_len}, {options.split} split, {subject.facts['checkpoint']}. recon: squared error "
        f"summed over the roll, no teacher forcing; ELBO = -(recon + {options.beta:g} KL).\n"
        "true ELBO: the decoder's likelihood, beta = 1; bits / cell of it, beside models without a latent that know "
        "each pitch's rate, or its rate given the frame before.\nreported: on other music, teacher-forced."
    )
    return frames


if __name__ == "__main__":
    run_command(lambda: eval_elbo(parse_options(Options, __doc__)), CheckpointError)
