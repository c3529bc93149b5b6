"""ELBO of a CVAE on the whole test split without teacher forcing, and the true bound in nats and bits.

    python eval_elbo.py --store store                               # hybrid CVAE, T = 128
    python eval_elbo.py --seq-len 32 --checkpoint checkpoints/cvae_pretrained_best.pth

Writes metrics/eval_elbo-T{T}.csv, one row a genre, genre_id -1 for all, and metrics/eval_elbo_latents-T{T}.csv, one row
a latent dimension.
"""

from dataclasses import dataclass

from common.errors import run_command
from common.options import option, parse_options
from evaluation.measures.elbo import ElboRows, measure_elbo
from evaluation.published import ELBO, published_for
from evaluation.samples.subject import EvaluationOptions, open_subject
from evaluation.tables import format_table, write_table
from models.checkpoint import CheckpointError


@dataclass(frozen=True)
class Options(EvaluationOptions):
    """Options of this evaluation."""

    beta: float = option(0.01, "weight of the KL divergence in the report's ELBO", minimum=0)


COLUMNS = {
    "genre": "genre",
    "n": "windows",
    "Recon_Loss_mean": "recon",
    "KL_Div_mean": "KL",
    "ELBO_mean": "ELBO",
    "reported": "reported recon / KL / ELBO",
    "bernoulli_ELBO_nats": "true ELBO (nats)",
    "bits_per_cell": "bits/cell",
    "bits_per_cell_pitch_mean": "pitch mean",
    "bits_per_cell_previous_frame": "prev. frame",
    "active_units": "active z",
}


def eval_elbo(options: Options) -> ElboRows:
    """Measure, print and write the tables; returns their rows. Raises `UserError` or `CheckpointError`."""
    subject = open_subject(options)
    rows = measure_elbo(subject, beta=options.beta, seed=options.seed, batch_size=options.batch_size)
    path = options.metrics / f"eval_elbo-T{options.seq_len}.csv"
    latents_path = options.metrics / f"eval_elbo_latents-T{options.seq_len}.csv"
    write_table(path, rows.genres)
    write_table(latents_path, rows.latents)
    published = published_for(ELBO, options.seq_len, subject.windows.store.genres)
    shown = [
        {**row, "reported": " / ".join(f"{value:.2f}" for value in published.get(row["genre"], ())) or None}
        for row in rows.genres
    ]
    print(format_table(shown, COLUMNS))
    print(
        f"T = {options.seq_len}, {options.split} split, {subject.facts['checkpoint']}. recon: squared error summed "
        f"over the roll, no teacher forcing; ELBO = -(recon + {options.beta:g} KL).\n"
        "true ELBO: Bernoulli likelihood, beta = 1; bits/cell of it, beside models without a latent that know each "
        "pitch's rate, or its rate given the frame before.\nreported: on other music, teacher-forced."
    )
    print(f"{path}\n{latents_path}")
    return rows


if __name__ == "__main__":
    run_command(lambda: eval_elbo(parse_options(Options, __doc__)), CheckpointError)
