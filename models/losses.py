"""The terms of the training objectives. Sums over a window are returned per window, so that callers can weight them."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .critic import Critic
from .cvae import CVAE, THRESHOLD, Posterior


def bernoulli_nll(logits: Tensor, roll: Tensor) -> Tensor:
    """Binary cross-entropy summed over a window's cells, in nats, (B,). Both inputs (B, 128, T)."""
    # -log p(x) = softplus(l) - x l: fewer passes over the roll than the library's form.
    return F.softplus(logits).sum((1, 2)) - (logits * roll).sum((1, 2))


def squared_error(logits: Tensor, roll: Tensor) -> Tensor:
    """Squared error of the probabilities, summed over a window's cells, (B,). Both inputs (B, 128, T)."""
    return (torch.sigmoid(logits) - roll).square().sum((1, 2))


def kl_divergence(posterior: Posterior) -> Tensor:
    """KL(q || N(0, I)) of each latent dimension in nats, (B, latent)."""
    mean, log_variance = posterior
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def straight_through(probabilities: Tensor) -> Tensor:
    """0 or 1 by threshold, with the gradient of the probabilities (Bengio et al. 2013, section 4).

    Real rolls are binary: a critic that sees probabilities tells fakes by that alone, and a generator can please it
    with rolls that are empty once they are thresholded.
    """
    return probabilities + ((probabilities > THRESHOLD).to(probabilities.dtype) - probabilities).detach()


def critic_loss(
    critic: Critic, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor, penalty: float
) -> tuple[Tensor, Tensor, Tensor]:
    """WGAN-GP critic loss (report, section 2.2.2; Gulrajani et al. 2017, algorithm 1).

    E[D(fake)] - E[D(real)] + penalty * E[(||grad D(mix * real + (1 - mix) * fake)|| - 1)^2], for rolls (B, 128, T) and
    `mix` (B,) uniform in [0, 1]. Returns the loss, the Wasserstein estimate E[D(real)] - E[D(fake)] and the mean
    gradient norm. Fakes are taken as constants.
    """
    # The first layer is linear, so mixing its outputs is mixing the rolls: two convolutions instead of three.
    first_real, first_fake = critic.first_layer(real), critic.first_layer(fake.detach())
    first_mix = torch.lerp(first_fake, first_real, mix[:, None, None].to(first_real.dtype))
    genre_part = critic.genre_layer(genre)
    at = critic.score(torch.cat([first + genre_part for first in (first_real, first_fake, first_mix)]))
    batch = len(real)
    score_real, score_fake, _ = at.score.float().split(batch)
    norm = critic.input_gradient_norm(type(at)(*(field[2 * batch :] for field in at))).float()
    distance = score_real.mean() - score_fake.mean()
    return penalty * (norm - 1).square().mean() - distance, distance.detach(), norm.mean().detach()


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
    return ElboTerms(reconstruction(logits, roll), kl_divergence(posterior), z)
