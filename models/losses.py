"""The terms of the training objectives. Sums over a window are returned per window, so that callers can weight them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cvae import CVAE, THRESHOLD


def bernoulli_nll(logits: Tensor, roll: Tensor) -> Tensor:
    """Binary cross-entropy summed over a window's cells, in nats, (B,). Both inputs (B, 128, T)."""
    # -log p(x) = softplus(l) - x l: fewer passes over the roll than the library's form.
    return F.softplus(logits).sum((1, 2)) - (logits * roll).sum((1, 2))


def squared_error(logits: Tensor, roll: Tensor) -> Tensor:
    """Squared error of the probabilities, summed over a window's cells, (B,). Both inputs (B, 128, T)."""
    return (torch.sigmoid(logits) - roll).square().sum((1, 2))


def straight_through(probabilities: Tensor) -> Tensor:
    """0 or 1 by threshold, with the gradient of the probabilities (Bengio et al. 2013, section 4).

    Real rolls are binary: a critic that sees probabilities tells fakes by that alone, and a generator can please it
    with rolls that are empty once they are thresholded.
    """
    return probabilities + ((probabilities > THRESHOLD).to(probabilities.dtype) - probabilities).detach()


def critic_loss(
    critic: nn.Module, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor, penalty: float
) -> tuple[Tensor, Tensor, Tensor]:
    """WGAN-GP critic loss (report, section 2.2.2; Gulrajani et al. 2017, algorithm 1).

    E[D(fake)] - E[D(real)] + penalty * E[(||grad D(mix * real + (1 - mix) * fake)|| - 1)^2], for rolls (B, 128, T) and
    `mix` (B,) uniform in [0, 1]. Returns the loss, the Wasserstein estimate E[D(real)] - E[D(fake)] and the mean
    gradient norm. Fakes are taken as constants. A critic needs `forward` alone; one that has a
    `score_and_gradient_norm` of its own is asked that on a CPU, for which it is made.
    """
    own = getattr(critic, "score_and_gradient_norm", None) if real.device.type == "cpu" else None
    score_real, score_fake, norm = (own or partial(score_and_gradient_norm, critic))(real, fake.detach(), genre, mix)
    distance = score_real.float().mean() - score_fake.float().mean()
    norm = norm.float()
    return penalty * (norm - 1).square().mean() - distance, distance.detach(), norm.mean().detach()


def score_and_gradient_norm(
    critic: nn.Module, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (B,) of real and fake rolls and the gradient's norm (B,) between them, by autograd, for any critic."""
    mixed = torch.lerp(fake, real, mix[:, None, None].to(real.dtype)).requires_grad_()
    score_real, score_fake, score_mixed = critic(torch.cat([real, fake, mixed]), genre.repeat(3)).chunk(3)
    (gradient,) = torch.autograd.grad(score_mixed.sum(), mixed, create_graph=True)
    # The root has no derivative at 0; a clamp there gives none, where autograd would give NaN.
    norm = gradient.float().square().flatten(1).sum(1).clamp_min(1e-20).sqrt()
    return score_real, score_fake, norm


class ElboTerms(NamedTuple):
    """Terms of the negative ELBO for each window, and the latent they were computed at."""

    reconstruction: Tensor  # (B,)
    kl: Tensor  # (B, latent)
    z: Tensor  # (B, latent)


def elbo_terms(
    cvae: CVAE,
    batch: tuple[Tensor, Tensor, Tensor, Tensor],
    noise: Tensor,
    reconstruction: Callable[[Tensor, Tensor], Tensor],
) -> ElboTerms:
    """Encode a batch (roll, events, event_window, genre), sample z with `noise` (B, latent), decode teacher-forced.

    `reconstruction` is `bernoulli_nll` (stage 1) or `squared_error` (stage 3).
    """
    roll, _, _, genre = batch
    posterior = cvae.encode(*batch)
    z = posterior.sample(noise)
    logits = cvae.decode(z, genre, roll)
    return ElboTerms(reconstruction(logits, roll), cvae.prior.kl(posterior, genre), z)
