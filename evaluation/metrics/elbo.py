"""The evidence lower bound: the report's form of it, and the true one."""

import math
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from common.randomness import rng_at
from data.windows import PITCHES, Batch, WindowSource
from evaluation.published import ELBO, published_for
from evaluation.samples.subject import Subject
from evaluation.statistics.frame_baselines import FrameBaselines
from evaluation.tables import BASELINE, LABEL, REPORTED, Column, ResultTable, by_genre
from models import Posterior

# A latent dimension is active where its posterior mean varies over windows (Burda et al. 2016, section 5.2).
ACTIVE_VARIANCE = 0.01

ELBO_TABLE = ResultTable(
    "eval_elbo-T{T}.csv",
    "eval_elbo.py",
    (
        Column("origin", "model", LABEL),
        Column("genre_name", "{condition}", LABEL),
        Column("n", "windows"),
        Column("Recon_Loss_mean", "recon"),
        Column("KL_Div_mean", "KL"),
        Column("ELBO_mean", "ELBO"),
        Column("reported_recon", "reported recon", REPORTED),
        Column("reported_KL", "reported KL", REPORTED),
        Column("reported_ELBO", "reported ELBO", REPORTED),
        Column("bernoulli_ELBO_nats", "true ELBO, nats"),
        Column("bits_per_cell", "bits / cell"),
        Column("bits_per_cell_importance", "importance weighted"),
        Column("bits_per_cell_pitch_mean", "pitch mean", BASELINE),
        Column("bits_per_cell_previous_frame", "previous frame", BASELINE),
        Column("active_units", "active z"),
    ),
    protocol=("split", "seed", "store_content", "n", "beta", "feedback"),
)
LATENTS_TABLE = ResultTable(
    "eval_elbo_latents-T{T}.csv",
    "eval_elbo.py",
    (
        Column("origin", "model", LABEL),
        Column("dimension", "dimension of z", LABEL),
        Column("KL_nats", "KL, nats"),
        Column("posterior_mean_variance", "variance of the posterior's mean"),
        Column("active", "active"),
    ),
)


class ElboFrames(NamedTuple):
    """Rows by genre, and rows by latent dimension."""

    genres: pd.DataFrame
    latents: pd.DataFrame


@torch.no_grad()
def measure_elbo(
    subject: Subject, *, beta: float, importance_samples: int = 0, progress: bool = True
) -> ElboFrames:
    """One row for each genre and one for all, and one for each latent dimension, over every window of the split.

    Recon_Loss: squared error summed over the roll, z sampled from the encoder, the decoder running on its own output.
    ELBO = -(Recon_Loss + beta KL) (report). Beside it the true bound in nats, at beta = 1: the decoder factorises
    over frames, so log p(X | z) is the sum of Bernoulli terms given the true frames before; and the same bound in bits
    for each cell, beside the code length of two models without a latent, fitted on the training windows. The importance
    weighted bound is of `importance_samples` z a window, NaN for none.
    """
    cvae, windows = subject.cvae, subject.windows
    train = WindowSource(windows.store, "train", windows.seq_len, windows.device)
    baselines = FrameBaselines.fit(train.all_rolls(subject.options.batch_size))
    noise = subject.noise()
    parts: dict[str, list[Tensor]] = {}
    for index in tqdm(list(subject.batches()), "windows", disable=not progress):
        batch = windows.batch(index)
        posterior = cvae.encode(*batch)
        z = posterior.sample(noise[index].to(windows.device))
        free = subject.decode_free(z, batch.genre, index).probability
        now = {
            "recon": (free - batch.roll).square().sum((1, 2)),
            "nll": cvae.nll(z, batch.genre, batch.roll),
            "kl": cvae.prior.kl(posterior, z, batch.genre),
            "mean": posterior.mean,
            "importance": _importance_bound(subject, batch, posterior, index, importance_samples),
            **baselines.nats(batch.roll),
        }
        for name, value in now.items():
            parts.setdefault(name, []).append(value.cpu())
    values = {name: torch.cat(part).double() for name, part in parts.items()}
    kl, mean = values.pop("kl"), values.pop("mean")
    of_window = pd.DataFrame(
        {"genre_id": windows.genre.cpu().numpy(), "kl": kl.sum(1), **values, **_columns("mean", mean)}
    )
    bits = 1 / (PITCHES * windows.seq_len * math.log(2))
    genres = by_genre(of_window, subject.genres, lambda rows: _summary(rows, beta, bits))
    genres = genres.join(_published(windows.seq_len, subject.genres), on="genre_name")
    variance = mean.var(dim=0)
    latents = pd.DataFrame(
        {
            "dimension": range(mean.shape[1]),
            "KL_nats": kl.mean(0),
            "posterior_mean_variance": variance,
            "active": (variance > ACTIVE_VARIANCE).int(),
        }
    )
    facts = {"beta": beta, "importance_samples": importance_samples, **subject.facts}
    return ElboFrames(genres.assign(**facts), latents.assign(**facts))


def _importance_bound(subject: Subject, batch: Batch, posterior: Posterior, index: Tensor, samples: int) -> Tensor:
    """Nats (B,) of windows by a tighter bound: -log mean_k p(X | z_k) p(z_k) / q(z_k) (Burda et al. 2016)."""
    cvae = subject.cvae
    if not samples:
        return torch.full_like(posterior.mean[:, 0], torch.nan)
    noise_at = [rng_at("importance", subject.options.seed, window) for window in index.tolist()]
    weights = []
    for _ in range(samples):
        noise = torch.stack([torch.randn(posterior.mean.shape[1], generator=at) for at in noise_at])
        z = posterior.sample(noise.to(posterior.mean.device))
        likelihood = -cvae.nll(z, batch.genre, batch.roll)
        weights.append(likelihood + cvae.prior.log_density(z, batch.genre) - posterior.log_density(z))
    return math.log(samples) - torch.stack(weights).logsumexp(0)


def _columns(name: str, values: Tensor) -> dict[str, Tensor]:
    """The columns of (n, D) values by name and number."""
    return {f"{name}_{number}": column for number, column in enumerate(values.t())}


def _summary(rows: pd.DataFrame, beta: float, bits: float) -> dict[str, Any]:
    mean = rows.mean()
    variances = rows.filter(regex=r"^mean_\d+$").var()
    return {
        "Recon_Loss_mean": mean["recon"],
        "KL_Div_mean": mean["kl"],
        "ELBO_mean": -(mean["recon"] + beta * mean["kl"]),
        "n": len(rows),
        "bernoulli_ELBO_nats": -(mean["nll"] + mean["kl"]),
        "bits_per_cell": (mean["nll"] + mean["kl"]) * bits,
        "bits_per_cell_importance": mean["importance"] * bits,
        "bits_per_cell_pitch_mean": mean["pitch_mean"] * bits,
        "bits_per_cell_previous_frame": mean["previous_frame"] * bits,
        "active_units": (variances > ACTIVE_VARIANCE).sum() if len(rows) > 1 else float("nan"),
    }


def _published(seq_len: int, genres: list[str]) -> pd.DataFrame:
    """The report's figures by genre name; no rows where there are none."""
    columns = ["reported_recon", "reported_KL", "reported_ELBO"]
    return pd.DataFrame.from_dict(published_for(ELBO, seq_len, genres), orient="index", columns=columns, dtype=float)
