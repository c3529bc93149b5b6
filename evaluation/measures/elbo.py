"""The evidence lower bound: the report's form of it, and the true one."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from data.windows import PITCHES, WindowSource
from evaluation.samples.subject import Subject
from evaluation.statistics.rolls import previous_frame
from evaluation.tables import Row, genre_masks
from models.losses import bernoulli_nll, kl_divergence

# A latent dimension is active where its posterior mean varies over windows (Burda et al. 2016, section 5.2).
ACTIVE_VARIANCE = 0.01


class ElboRows(NamedTuple):
    """Rows by genre, and rows by latent dimension."""

    genres: list[Row]
    latents: list[Row]


@torch.no_grad()
def measure_elbo(subject: Subject, *, beta: float, seed: int, batch_size: int, progress: bool = True) -> ElboRows:
    """One row for each genre and one for all, and one for each latent dimension, over every window of the split.

    Recon_Loss: squared error summed over the roll, z sampled from the encoder, the decoder running on its own output.
    ELBO = -(Recon_Loss + beta KL) (report). Beside it the true bound in nats, at beta = 1: the decoder factorises
    over frames, so log p(X | z) is the sum of Bernoulli terms given the true frames before; and the same bound in bits
    for each cell, beside the code length of two models without a latent, fitted on the training windows.
    """
    cvae, windows = subject.cvae, subject.windows
    baselines = FrameBaselines.fit(WindowSource(windows.store, "train", windows.seq_len, windows.device), batch_size)
    noise = subject.noise(seed)
    parts: dict[str, list[Tensor]] = {}
    for index in tqdm(torch.arange(len(windows)).split(batch_size), "windows", disable=not progress):
        batch = windows.batch(index)
        posterior = cvae.encode(*batch)
        z = posterior.sample(noise[index].to(windows.device))
        free = cvae.decode_free(z, batch.genre, windows.seq_len)
        now = {
            "recon": (free - batch.roll).square().sum((1, 2)),
            "nll": bernoulli_nll(cvae.decode(z, batch.genre, batch.roll), batch.roll),
            "kl": kl_divergence(posterior),
            "mean": posterior.mean,
            **baselines.nats(batch.roll),
        }
        for name, value in now.items():
            parts.setdefault(name, []).append(value.cpu())
    values = {name: torch.cat(part).double() for name, part in parts.items()}
    active = values["mean"].var(dim=0) > ACTIVE_VARIANCE
    bits = 1 / (PITCHES * windows.seq_len * math.log(2))
    genres = [
        _row(genre_id, name, mask, values, beta, bits) | {"beta": beta} | subject.facts
        for genre_id, name, mask in genre_masks(windows.genre.cpu(), windows.store.genres)
    ]
    latents = [
        {
            "dimension": dimension,
            "KL_nats": float(values["kl"][:, dimension].mean()),
            "posterior_mean_variance": float(values["mean"][:, dimension].var()),
            "active": int(active[dimension]),
        }
        | subject.facts
        for dimension in range(cvae.latent)
    ]
    return ElboRows(genres, latents)


def _row(genre_id: int, name: str, mask: Tensor, values: dict[str, Tensor], beta: float, bits: float) -> Row:
    def mean(key: str) -> float:
        return float(values[key][mask].mean())

    recon, nll = mean("recon"), mean("nll")
    kl = float(values["kl"][mask].sum(1).mean())
    return {
        "genre_id": genre_id,
        "Recon_Loss_mean": recon,
        "KL_Div_mean": kl,
        "ELBO_mean": -(recon + beta * kl),
        "n": int(mask.sum()),
        "genre": name,
        "bernoulli_ELBO_nats": -(nll + kl),
        "bits_per_cell": (nll + kl) * bits,
        "bits_per_cell_pitch_mean": mean("pitch_mean") * bits,
        "bits_per_cell_previous_frame": mean("previous_frame") * bits,
        "active_units": int((values["mean"][mask].var(dim=0) > ACTIVE_VARIANCE).sum()) if mask.sum() > 1 else None,
    }


class FrameBaselines(NamedTuple):
    """Bernoulli models without a latent: the rate of each pitch, and its rate given whether it sounded before.

    `rate` (128,), `rate_after` (2, 128): after silence, after sound.
    """

    rate: Tensor
    rate_after: Tensor

    @classmethod
    def fit(cls, windows: WindowSource, batch_size: int) -> "FrameBaselines":
        """Count over `windows`; half a cell is added to every count, so that no rate is 0 or 1."""
        frames = torch.zeros(2, PITCHES, dtype=torch.float64)  # frames after silence, after sound
        sounding = torch.zeros(2, PITCHES, dtype=torch.float64)
        for index in torch.arange(len(windows)).split(batch_size):
            roll = windows.rolls(index)
            before = previous_frame(roll)
            after_sound = torch.stack([(1 - before).sum((0, 2)), before.sum((0, 2))])
            sounding += torch.stack([((1 - before) * roll).sum((0, 2)), (before * roll).sum((0, 2))]).cpu()
            frames += after_sound.cpu()
        rate = (sounding.sum(0) + 0.5) / (frames.sum(0) + 1)
        rate_after = (sounding + 0.5) / (frames + 1)
        return cls(rate.float().to(windows.device), rate_after.float().to(windows.device))

    def nats(self, roll: Tensor) -> dict[str, Tensor]:
        """Code length (B,) of rolls (B, 128, T) under either model."""
        before = previous_frame(roll)
        after = torch.lerp(self.rate_after[0, :, None], self.rate_after[1, :, None], before)
        return {"pitch_mean": _code_length(self.rate[:, None], roll), "previous_frame": _code_length(after, roll)}


def _code_length(rate: Tensor, roll: Tensor) -> Tensor:
    return -(roll * rate.log() + (1 - roll) * torch.log1p(-rate)).sum((1, 2))
