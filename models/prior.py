"""Posterior and priors of latents. The prior is a part of the CVAE and of the generator, and in their weights files."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .gru import in_full_precision
from .names import AUTOREGRESSIVE, STANDARD_NORMAL

LOG_VARIANCE_BOUND = 10.0  # of posteriors and priors, to either side


class Posterior(NamedTuple):
    """q(z | X, E, y), a diagonal Gaussian. Both fields are float32 (B, size of z)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """z = mean + sigma * noise, with standard normal `noise` (B, size of z)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def log_density(self, z: Tensor) -> Tensor:
        """log q(z | X, E, y) in nats, (B,)."""
        return gaussian_log_density(z, self.mean, self.log_variance).sum(1)

    def detach(self) -> "Posterior":
        """A copy without gradient."""
        return Posterior(self.mean.detach(), self.log_variance.detach())


class Prior(nn.Module):
    """p(z | y). A subclass defines `sample` and `moments_given`.

    `sample(noise, genre, before=None)`: z (B, size of z) from standard normal `noise` of the same shape, in its dtype;
    `genre` int64 (B,); `before` (B, size of another z): the latents that z continues.
    `moments_given(z, genre)`: mean and log-variance of each latent given the earlier ones in `z`, (B, size of z) each.
    """

    def kl(self, posterior: Posterior, z: Tensor, genre: Tensor) -> Tensor:
        """KL(q || p(z | y)) of each latent in nats, (B, size of z), at the sample `z` of the posterior."""
        return gaussian_kl(posterior, *self.moments_given(z, genre))

    def log_density(self, z: Tensor, genre: Tensor) -> Tensor:
        """log p(z | y) in nats, (B,)."""
        return gaussian_log_density(z, *self.moments_given(z, genre)).sum(1)


class StandardNormal(Prior):
    """N(0, I) for every genre, without parameters: the prior of the published system."""

    def __init__(self, latent: int, n_genres: int) -> None:
        super().__init__()

    def sample(self, noise: Tensor, genre: Tensor, before: Tensor | None = None) -> Tensor:
        return noise

    def moments_given(self, z: Tensor, genre: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(z), torch.zeros_like(z)


class Autoregressive(Prior):
    """p(z | y) of a sequence of latents: each is Gaussian given the earlier ones and the genre.

    Initialised to N(0, I). `sample` is a bijection between noise and z.
    """

    HIDDEN, GENRE = 128, 32

    def __init__(self, latent: int, n_genres: int) -> None:
        super().__init__()
        self.latent = latent
        self.genre = nn.Embedding(n_genres, self.GENRE)
        self.first_state = nn.Linear(self.GENRE, self.HIDDEN)
        self.states = nn.GRU(latent + self.GENRE, self.HIDDEN, batch_first=True)
        self.moments = nn.Linear(self.HIDDEN, 2 * latent)
        nn.init.zeros_(self.moments.weight)
        nn.init.zeros_(self.moments.bias)

    @in_full_precision
    def sample(self, noise: Tensor, genre: Tensor, before: Tensor | None = None) -> Tensor:
        steps, drawn = noise.unflatten(1, (-1, self.latent)), []
        embedded = self.genre(genre)
        state = torch.tanh(self.first_state(embedded))[None]
        last = torch.zeros_like(steps[:, 0])
        for known in () if before is None else before.unflatten(1, (-1, self.latent)).unbind(1):
            _, state = self.states(torch.cat([last, embedded], dim=1)[:, None], state)
            last = known
        for step in steps.unbind(1):
            states, state = self.states(torch.cat([last, embedded], dim=1)[:, None], state)
            mean, log_variance = self._moments(states[:, 0])
            last = mean + torch.exp(0.5 * log_variance) * step
            drawn.append(last)
        return torch.stack(drawn, dim=1).flatten(1)

    @in_full_precision  # rounding the latents would add to the divergence
    def moments_given(self, z: Tensor, genre: Tensor) -> tuple[Tensor, Tensor]:
        steps = z.to(self.moments.weight.dtype).unflatten(1, (-1, self.latent))
        embedded = self.genre(genre)
        before = torch.nn.functional.pad(steps[:, :-1], (0, 0, 1, 0))
        inputs = torch.cat([before, embedded[:, None].expand(-1, steps.shape[1], -1)], dim=2)
        states, _ = self.states(inputs, torch.tanh(self.first_state(embedded))[None])
        mean, log_variance = self._moments(states)
        return mean.flatten(1), log_variance.flatten(1)

    def _moments(self, states: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.moments(states).chunk(2, dim=-1)
        return mean, log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)


def gaussian_log_density(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log-density of each dimension of diagonal Gaussians; all three arguments and the result have one shape."""
    squared = (z - mean).square() * torch.exp(-log_variance)
    return -0.5 * (squared + log_variance + math.log(2 * math.pi))


def gaussian_kl(posterior: Posterior, mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of each dimension of diagonal Gaussians; all arguments and the result have one shape."""
    shift = (posterior.mean - mean).square() * torch.exp(-log_variance)
    ratio = posterior.log_variance - log_variance
    return 0.5 * (shift + ratio.exp() - 1 - ratio)


def standard_normal_kl(posterior: Posterior) -> Tensor:
    """KL(q || N(0, I)) of each latent dimension in nats, of the shape of `posterior.mean`."""
    zero = torch.zeros_like(posterior.mean)
    return gaussian_kl(posterior, zero, zero)


PRIOR_OF: dict[str, type[Prior]] = {STANDARD_NORMAL: StandardNormal, AUTOREGRESSIVE: Autoregressive}
