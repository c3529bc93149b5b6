"""The evidence lower bound: the report's form, and the true bound."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from common.randomness import rng_at
from data.windows import PITCHES, Batch, WindowSource
from evaluation.published import ELBO, published_for
from evaluation.samples.evaluated import Subject
from evaluation.statistics.features import previous_frame
from evaluation.tables import BASELINE, LABEL, OURS, REPORTED, ResultTable, by_genre, columns
from models import Posterior
from models.likelihoods import log_mean, log_weights

# A latent dimension is active if the variance of its posterior mean is larger (Burda et al. 2016, section 5.2).
ACTIVE_VARIANCE = 0.01

ELBO_TABLE = ResultTable(
    "eval_elbo-T{T}.csv",
    "eval_elbo.py",
    (
        *columns(LABEL, origin="model", genre_name="{condition}"),
        *columns(OURS, n="windows", Recon_Loss_mean="recon", KL_Div_mean="KL", ELBO_mean="ELBO"),
        *columns(REPORTED, reported_recon="reported recon", reported_KL="reported KL", reported_ELBO="reported ELBO"),
        *columns(OURS, bernoulli_ELBO_nats="true ELBO, nats", bits_per_cell="bits / cell"),
        *columns(OURS, bits_per_cell_importance="importance weighted"),
        *columns(BASELINE, bits_per_cell_pitch_mean="pitch mean", bits_per_cell_previous_frame="previous frame"),
        *columns(OURS, active_units="active z"),
    ),
    protocol=("split", "seed", "store_content", "n", "beta", "feedback"),
)
LATENTS_TABLE = ResultTable(
    "eval_elbo_latents-T{T}.csv",
    "eval_elbo.py",
    (
        *columns(LABEL, origin="model", dimension="dimension of z"),
        *columns(OURS, KL_nats="KL, nats", posterior_mean_variance="variance of the posterior's mean", active="active"),
    ),
)


class FrameBaselines(NamedTuple):
    """Bernoulli models: `rate` (keys,) of each key; `rate_after` (2, keys), after silence and after sound."""

    rate: Tensor
    rate_after: Tensor

    @classmethod
    def fit(cls, rolls: Iterable[Tensor]) -> "FrameBaselines":
        """Count over `rolls`, (B, keys, T) each. Half a cell is added to every count, so that no rate is 0 or 1."""
        frames = sounding = torch.zeros((), dtype=torch.float64)  # (2, keys)
        for roll in rolls:
            before = previous_frame(roll)
            after = torch.stack([1 - before, before])  # (2, B, keys, T)
            frames = frames + after.sum((1, 3)).cpu()
            sounding = sounding + (after * roll).sum((1, 3)).cpu()
        rate = (sounding.sum(0) + 0.5) / (frames.sum(0) + 1)
        rate_after = (sounding + 0.5) / (frames + 1)
        return cls(rate.float().to(roll.device), rate_after.float().to(roll.device))

    def nats(self, roll: Tensor) -> dict[str, Tensor]:
        """Code length in nats, (B,), of rolls (B, keys, T) under each model."""
        return {name: cells.sum((1, 2)) for name, cells in self.nats_of_cells(roll).items()}

    def nats_of_cells(self, roll: Tensor) -> dict[str, Tensor]:
        """Code length in nats of each cell, (B, keys, T), of rolls of this shape under each model."""
        after = torch.lerp(self.rate_after[0, :, None], self.rate_after[1, :, None], previous_frame(roll))
        return {
            name: -(roll * rate.log() + (1 - roll) * torch.log1p(-rate))
            for name, rate in (("pitch_mean", self.rate[:, None]), ("previous_frame", after))
        }


@torch.no_grad()
def measure_elbo(subject: Subject, *, beta: float, importance_samples: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row for each genre and one for all; a row for each latent dimension. Both over every window of the split.

    Recon_Loss: squared error summed over the roll, z sampled from the posterior, without teacher forcing.
    ELBO = -(Recon_Loss + beta KL) (report). bernoulli_ELBO_nats: the true bound at beta = 1. The decoder factorises
    over frames, so log p(X | z) is a sum of Bernoulli terms given the true previous frames. bits_per_cell: the same in
    bits, with two baselines without latents, fitted on the training windows. bits_per_cell_importance: the importance
    weighted bound of `importance_samples` z a window, NaN for 0.
    """
    cvae, windows = subject.cvae, subject.windows
    train = WindowSource(windows.store, "train", windows.seq_len, windows.device)
    baselines = FrameBaselines.fit(train.all_rolls(subject.options.batch_size))
    noise = subject.noise()

    def values_of(index: Tensor, batch: Batch) -> dict[str, Tensor]:
        posterior = cvae.encode(*batch)
        z = posterior.sample(noise[index].to(windows.device))
        free = subject.decode_free(z, batch.genre, index).probability
        return {
            "recon": (free - batch.roll).square().sum((1, 2)),
            "nll": cvae.nll(z, batch.genre, batch.roll),
            "kl_of_z": cvae.prior.kl(posterior, z, batch.genre),
            "mean": posterior.mean,
            "importance": _importance_bound(subject, batch, posterior, index, importance_samples),
            **baselines.nats(batch.roll),
        }

    values = subject.by_window(values_of)
    kl, mean = values.pop("kl_of_z"), values.pop("mean")
    means = {f"mean_{number}": column for number, column in enumerate(mean.t())}
    of_window = subject.table(kl=kl.sum(1), **values, **means)
    bits = 1 / (PITCHES * windows.seq_len * math.log(2))
    genres = by_genre(of_window, subject.genres, lambda rows: _summary(rows, beta, bits))
    published = published_for(ELBO, windows.seq_len, subject.genres)
    names = ["reported_recon", "reported_KL", "reported_ELBO"]
    reported = pd.DataFrame.from_dict(published, orient="index", columns=names, dtype=float)
    genres = genres.join(reported, on="genre_name")
    variance = mean.var(dim=0)
    known = {"KL_nats": kl.mean(0), "posterior_mean_variance": variance, "active": (variance > ACTIVE_VARIANCE).int()}
    latents = pd.DataFrame({"dimension": range(mean.shape[1]), **known})
    facts = {"beta": beta, "importance_samples": importance_samples, **subject.facts}
    return genres.assign(**facts), latents.assign(**facts)


def _importance_bound(subject: Subject, batch: Batch, posterior: Posterior, index: Tensor, samples: int) -> Tensor:
    """A tighter bound in nats, (B,): -log mean_k p(X | z_k) p(z_k) / q(z_k) (Burda et al. 2016)."""
    cvae = subject.cvae
    if not samples:
        return torch.full_like(posterior.mean[:, 0], torch.nan)
    rngs = [rng_at("importance", subject.options.seed, window) for window in index.tolist()]
    size = posterior.mean.shape[1]
    noise = (torch.stack([torch.randn(size, generator=rng) for rng in rngs]) for _ in range(samples))
    return -log_mean(log_weights(cvae, posterior, batch.genre, batch.roll, noise))


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
        **{f"bits_per_cell_{name}": mean[name] * bits for name in ("importance", "pitch_mean", "previous_frame")},
        "active_units": (variances > ACTIVE_VARIANCE).sum() if len(rows) > 1 else float("nan"),
    }
