"""ELBO of a CVAE on the whole test split without teacher forcing, and the true bound in nats and bits.

    python eval_elbo.py --store store                               # hybrid CVAEs of every T
    python eval_elbo.py --checkpoint checkpoints/cvae_pretrained_best.pth

Writes metrics/eval_elbo-T{T}.csv, a row for each genre, genre_id -1 for all, and metrics/eval_elbo_latents-T{T}.csv, a
row for each latent dimension.
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

    from evaluation.samples.evaluated import Subject

LEGEND = """\
T = {T}, {split} split, {checkpoint}. recon: squared error summed over the roll, no teacher forcing;
ELBO = -(recon + {beta:g} KL). true ELBO: the decoder's likelihood, beta = 1; bits / cell: the same in bits, with two
baselines: the rate of each pitch, and its rate given the previous frame. reported: on other music, teacher-forced."""


@dataclass(frozen=True)
class Options(DecodingOptions):
    """Options of this evaluation."""

    beta: float = option(0.01, "weight of the KL divergence in the report's ELBO", minimum=0)
    importance_samples: int = option(8, "z a window for the importance weighted bound; 0 leaves it out", minimum=0)


def eval_elbo(options: Options) -> "pd.DataFrame":
    """Measure, print and write the tables of each T; returns the rows by genre.

    Raises `UserError` or `CheckpointError`.
    """
    import pandas as pd

    from evaluation.metrics.elbo import ELBO_TABLE, LATENTS_TABLE, measure_elbo
    from evaluation.samples.evaluated import open_subjects
    from evaluation.tables import format_table, run_table

    latents = []

    def measure(subject: "Subject") -> pd.DataFrame:
        genres, of_latents = measure_elbo(subject, beta=options.beta, importance_samples=options.importance_samples)
        latents.append(of_latents)
        return genres

    frame = run_table(
        ELBO_TABLE, open_subjects(options), measure, options.metrics, options.seq_lens,
        lambda rows: [format_table(rows, ELBO_TABLE.columns), LEGEND.format(**rows.iloc[-1])],
        also=[LATENTS_TABLE.path(options.metrics, seq_len) for seq_len in options.seq_lens],
    )  # fmt: skip
    print(*LATENTS_TABLE.write(pd.concat(latents, ignore_index=True), options.metrics), sep="\n")
    return frame


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: eval_elbo(parse_options(Options, __doc__))), CheckpointError)
