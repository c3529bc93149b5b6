"""The terms of the training objectives. Sums over a window are returned per window: callers weight and average them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from .base import Model, RollCritic
from .compiling import compilable
from .names import NLL


def straight_through(probabilities: Tensor, played: Tensor) -> Tensor:
    """Rolls `played` from probabilities, 0 or 1, with the gradient of the probabilities (Bengio et al. 2013, sec. 4).

    Real rolls are binary. A critic of probabilities recognises fakes by their values, and a generator can satisfy it
    with rolls that are empty once they are played.
    """
    return probabilities + (played.to(probabilities.dtype) - probabilities).detach()


@compilable
def critic_loss(
    critic: RollCritic, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor, penalty: float, drift: float = 0.0,
    latents: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """WGAN-GP critic loss (report, section 2.2.2; Gulrajani et al. 2017, algorithm 1).

    E[D(fake)] - E[D(real)] + penalty * E[(||grad D(mix * real + (1 - mix) * fake)|| - 1)^2], for rolls (B, 128, T) and
    `mix` (B,) uniform in [0, 1], plus `drift` * E[D(real)^2], which keeps scores near 0 (Karras et al. 2018).
    `latents`: z of the real and of the fake rolls, (B, size of z) each, for a critic of pairs of a roll and its z.
    Returns the loss, the Wasserstein estimate E[D(real)] - E[D(fake)] and the mean gradient norm. The loss has no
    gradient with respect to the fakes.
    """
    score_real, score_fake, norm = critic.scores_and_gradient_norm(real, fake.detach(), genre, mix, latents)
    distance = score_real.float().mean() - score_fake.float().mean()
    norm = norm.float()
    loss = penalty * (norm - 1).square().mean() - distance
    if drift:
        loss = loss + drift * score_real.float().square().mean()
    return loss, distance.detach(), norm.mean().detach()


class ElboTerms(NamedTuple):
    """Terms of the negative ELBO of each window, and the latent at which they are computed."""

    reconstruction: Tensor  # (B,)
    kl: Tensor  # (B, size of z)
    z: Tensor  # (B, size of z)


def elbo_terms(
    cvae: Model, batch: tuple[Tensor, Tensor, Tensor, Tensor], noise: Tensor, reconstruction: str,
    free_nats: float = 0.0, batch_mean: Callable[[Tensor], Tensor] = partial(torch.mean, dim=0),
    most_notes: Tensor | None = None,
) -> ElboTerms:  # fmt: skip
    """Encode a batch (roll, events, event_window, genre), sample z with `noise` (B, size of z), decode teacher-forced.

    `reconstruction` is one of `RECONSTRUCTIONS`. `free_nats` are free bits (Kingma et al. 2016, appendix C.8): below
    this batch-mean KL a group of `cvae.latent` latents (a second, or the window) sends no gradient to the encoder; a
    learned prior is still trained. The returned KL is unchanged. `batch_mean` returns the mean over a batch of which
    its argument (B, groups) may be a part. `most_notes` int64 (B,) on the host: no fewer than the notes of each roll,
    for which a note decoder would wait for a device.
    """
    roll, _, _, genre = batch
    posterior = cvae.encode(*batch)
    z = posterior.sample(noise)
    error = cvae.nll(z, genre, roll, most_notes) if reconstruction == NLL else cvae.squared_error(z, genre, roll)
    kl = cvae.prior.kl(posterior, z, genre)
    if free_nats:
        groups = kl.unflatten(1, (-1, cvae.latent))
        costs = batch_mean(groups.sum(2)) > free_nats
        of_prior_alone = cvae.prior.kl(posterior.detach(), z.detach(), genre).view_as(groups)
        kl = torch.where(costs[:, None], groups, of_prior_alone).flatten(1)
    return ElboTerms(error, kl, z)
