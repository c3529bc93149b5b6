"""What latents are sampled from: a part of the CVAE and of the generator, which travels in their weights files."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


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
        """The same, as a constant."""
        return Posterior(self.mean.detach(), self.log_variance.detach())


class StandardNormal(nn.Module):
    """N(0, I), the published system's prior: the same for every genre, and nothing to learn."""

    def __init__(self, latent: int, n_genres: int) -> None:
        super().__init__()

    def sample(self, noise: Tensor, genre: Tensor) -> Tensor:
        """z (B, size of z) from standard normal `noise` of the same shape, in its dtype; `genre` int64 (B,)."""
        return noise

    def kl(self, posterior: Posterior, z: Tensor, genre: Tensor) -> Tensor:
        """KL(q || p(z | y)) of each latent dimension in nats, (B, size of z); `z` is a sample of the posterior."""
        return standard_normal_kl(posterior)

    def log_density(self, z: Tensor, genre: Tensor) -> Tensor:
        """log p(z | y) in nats, (B,)."""
        return gaussian_log_density(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)


class Autoregressive(nn.Module):
    """p(z | y) of a sequence of latents: each Gaussian, given those before it and the genre.

    It begins as N(0, I). Its noise is as large as z, and every z has one noise.
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

    def sample(self, noise: Tensor, genre: Tensor, before: Tensor | None = None) -> Tensor:
        """z (B, size of z) from standard normal `noise` of the same shape, in its dtype; `genre` int64 (B,).

        `before` (B, size of another z): what it goes on from.
        """
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

    def kl(self, posterior: Posterior, z: Tensor, genre: Tensor) -> Tensor:
        """KL(q || p(z | y)) of each latent dimension in nats, (B, size of z): that of each step given `z` before it."""
        return gaussian_kl(posterior, *self._moments_given(z, genre))

    def log_density(self, z: Tensor, genre: Tensor) -> Tensor:
        """log p(z | y) in nats, (B,)."""
        return gaussian_log_density(z, *self._moments_given(z, genre)).sum(1)

    def _moments_given(self, z: Tensor, genre: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of each step given `z` before it, (B, size of z) each."""
        # In float32: rounded latents would have a divergence of their own.
        with torch.autocast(z.device.type, enabled=False):
            steps = z.to(self.moments.weight.dtype).unflatten(1, (-1, self.latent))
            embedded = self.genre(genre)
            before = torch.nn.functional.pad(steps[:, :-1], (0, 0, 1, 0))
            told = torch.cat([before, embedded[:, None].expand(-1, steps.shape[1], -1)], dim=2)
            states, _ = self.states(told, torch.tanh(self.first_state(embedded))[None])
            mean, log_variance = self._moments(states)
        return mean.flatten(1), log_variance.flatten(1)

    def _moments(self, states: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.moments(states).chunk(2, dim=-1)
        return mean, log_variance.clamp(-10.0, 10.0)


def gaussian_log_density(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of diagonal Gaussians, each dimension, of the shape of all three."""
    squared = (z - mean).square() * torch.exp(-log_variance)
    return -0.5 * (squared + log_variance + math.log(2 * math.pi))


def gaussian_kl(posterior: Posterior, mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of diagonal Gaussians, each dimension, of the shape of all four."""
    shift = (posterior.mean - mean).square() * torch.exp(-log_variance)
    ratio = posterior.log_variance - log_variance
    return 0.5 * (shift + ratio.exp() - 1 - ratio)


def standard_normal_kl(posterior: Posterior) -> Tensor:
    """KL(q || N(0, I)) of each latent dimension in nats, of the shape of `posterior.mean`."""
    zero = torch.zeros_like(posterior.mean)
    return gaussian_kl(posterior, zero, zero)


STANDARD_NORMAL, AUTOREGRESSIVE = "standard-normal", "autoregressive"
PRIORS: dict[str, type[nn.Module]] = {STANDARD_NORMAL: StandardNormal, AUTOREGRESSIVE: Autoregressive}
