"""The terms of the training objectives. Sums over a window are returned per window, so that callers can weight them."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .playing import THRESHOLD

# What L_ELBO's first term is: -log p(X | z, y) in nats, or the squared error of the cells' probabilities.
NLL, SQUARED_ERROR = RECONSTRUCTIONS = ("nll", "squared-error")


def straight_through(probabilities: Tensor) -> Tensor:
    """0 or 1 by threshold, with the gradient of the probabilities (Bengio et al. 2013, section 4).

    Real rolls are binary: a critic that sees probabilities tells fakes by that alone, and a generator can please it
    with rolls that are empty once they are thresholded.
    """
    return probabilities + ((probabilities > THRESHOLD).to(probabilities.dtype) - probabilities).detach()


def critic_loss(
    critic: nn.Module,
    real: Tensor,
    fake: Tensor,
    genre: Tensor,
    mix: Tensor,
    penalty: float,
    drift: float = 0.0,
    latents: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """WGAN-GP critic loss (report, section 2.2.2; Gulrajani et al. 2017, algorithm 1).

    E[D(fake)] - E[D(real)] + penalty * E[(||grad D(mix * real + (1 - mix) * fake)|| - 1)^2], for rolls (B, 128, T) and
    `mix` (B,) uniform in [0, 1]; and `drift` * E[D(real)^2], which keeps scores near 0 (Karras et al. 2018). Returns
    the loss, the Wasserstein estimate E[D(real)] - E[D(fake)] and the mean gradient norm. Fakes are taken as constants.
    `latents`: z of the real and of the fake rolls, (B, size of z) each, for a critic that hears them.
    A critic needs `forward` alone; one that has a `score_and_gradient_norm` of its own is asked that on a CPU, for
    which it is made.
    """
    own = getattr(critic, "score_and_gradient_norm", None) if real.device.type == "cpu" else None
    by_autograd = partial(score_and_gradient_norm, critic, latents=latents)
    score_real, score_fake, norm = (own or by_autograd)(real, fake.detach(), genre, mix)
    distance = score_real.float().mean() - score_fake.float().mean()
    norm = norm.float()
    loss = penalty * (norm - 1).square().mean() - distance
    if drift:
        loss = loss + drift * score_real.float().square().mean()
    return loss, distance.detach(), norm.mean().detach()


def score_and_gradient_norm(
    critic: nn.Module,
    real: Tensor,
    fake: Tensor,
    genre: Tensor,
    mix: Tensor,
    latents: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (B,) of real and fake rolls and the gradient's norm (B,) between them, by autograd, for any critic.

    `latents` are mixed like the rolls; the gradient is that with respect to the roll.
    """
    mixed = torch.lerp(fake, real, mix[:, None, None].to(real.dtype)).requires_grad_()
    z = z_mixed = None
    if latents is not None:
        z_real, z_fake = latents
        z, z_mixed = torch.cat(latents), torch.lerp(z_fake, z_real, mix[:, None].to(z_real.dtype))
    score_real, score_fake = critic(torch.cat([real, fake]), genre.repeat(2), z).chunk(2)
    # On its own: the gradient, and its derivative, are of the mixed rolls alone.
    (gradient,) = torch.autograd.grad(critic(mixed, genre, z_mixed).sum(), mixed, create_graph=True)
    # The root has no derivative at 0; a clamp there gives none, where autograd would give NaN.
    norm = gradient.float().square().flatten(1).sum(1).clamp_min(1e-20).sqrt()
    return score_real, score_fake, norm


class ElboTerms(NamedTuple):
    """Terms of the negative ELBO for each window, and the latent they were computed at."""

    reconstruction: Tensor  # (B,)
    kl: Tensor  # (B, size of z)
    z: Tensor  # (B, size of z)


def elbo_terms(
    cvae: nn.Module,
    batch: tuple[Tensor, Tensor, Tensor, Tensor],
    noise: Tensor,
    reconstruction: str,
    free_nats: float = 0.0,
) -> ElboTerms:
    """Encode a batch (roll, events, event_window, genre), sample z with `noise` (B, size of z), decode teacher-forced.

    `reconstruction` is one of `RECONSTRUCTIONS`. `free_nats`: where the batch's mean KL of a part of z (`cvae.latent`
    numbers: a second, or the window) is below, the posterior is not drawn to the prior (free bits, Kingma et al. 2016,
    appendix C.8), but a prior that learns still is to the posterior. The KL itself is told as it is.
    """
    roll, _, _, genre = batch
    posterior = cvae.encode(*batch)
    z = posterior.sample(noise)
    error = (cvae.nll if reconstruction == NLL else cvae.squared_error)(z, genre, roll)
    kl = cvae.prior.kl(posterior, z, genre)
    if free_nats:
        parts = kl.unflatten(1, (-1, cvae.latent))
        costs = parts.sum(2).mean(0) > free_nats
        of_prior_alone = cvae.prior.kl(posterior.detach(), z.detach(), genre).view_as(parts)
        kl = torch.where(costs[:, None], parts, of_prior_alone).flatten(1)
    return ElboTerms(error, kl, z)
