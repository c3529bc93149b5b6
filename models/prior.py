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
        return gaussian_kl(posterior, torch.zeros_like(z), torch.zeros_like(z))

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
            last = self._from_noise(step, states[:, 0])
            drawn.append(last)
        return torch.stack(drawn, dim=1).flatten(1)

    def kl(self, posterior: Posterior, z: Tensor, genre: Tensor) -> Tensor:
        """KL(q || p(z | y)) of each latent dimension in nats, (B, size of z): that of each step given `z` before it."""
        with precise(z):
            mean, log_variance = (field.flatten(1) for field in self._moments(self._states_given(z, genre)))
        return gaussian_kl(posterior, mean, log_variance)

    def log_density(self, z: Tensor, genre: Tensor) -> Tensor:
        """log p(z | y) in nats, (B,)."""
        with precise(z):
            mean, log_variance = (field.flatten(1) for field in self._moments(self._states_given(z, genre)))
        return gaussian_log_density(z, mean, log_variance).sum(1)

    def _from_noise(self, noise: Tensor, states: Tensor) -> Tensor:
        """A step's z from noise, (B, latent) both, in the state (B, HIDDEN) that the steps before have led to."""
        mean, log_variance = self._moments(states)
        return mean + torch.exp(0.5 * log_variance) * noise

    def _states_given(self, z: Tensor, genre: Tensor) -> Tensor:
        """The state before each step, (B, steps, HIDDEN)."""
        steps = z.to(self.moments.weight.dtype).unflatten(1, (-1, self.latent))
        embedded = self.genre(genre)
        before = torch.nn.functional.pad(steps[:, :-1], (0, 0, 1, 0))
        told = torch.cat([before, embedded[:, None].expand(-1, steps.shape[1], -1)], dim=2)
        return self.states(told, torch.tanh(self.first_state(embedded))[None])[0]

    def _moments(self, states: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.moments(states).chunk(2, dim=-1)
        return mean, log_variance.clamp(-10.0, 10.0)


class AutoregressiveFlow(Autoregressive):
    """As `Autoregressive`, but what each step adds to its mean is no Gaussian: couplings bend it (Dinh et al. 2017)."""

    HIDDEN, COUPLINGS = 256, 6

    def __init__(self, latent: int, n_genres: int) -> None:
        if latent < 2:
            raise ValueError(f"a flow needs a latent of two numbers or more, but latent is {latent}")
        super().__init__(latent, n_genres)
        self.couplings = nn.ModuleList(Coupling(latent, self.HIDDEN, odd % 2) for odd in range(self.COUPLINGS))

    def kl(self, posterior: Posterior, z: Tensor, genre: Tensor) -> Tensor:
        """KL(q || p(z | y)) estimated by one sample `z` of q, in nats, shared out to its numbers, (B, size of z)."""
        return gaussian_log_density(z, *posterior) - self._log_density(z, genre)

    def log_density(self, z: Tensor, genre: Tensor) -> Tensor:
        """log p(z | y) in nats, (B,)."""
        return self._log_density(z, genre).sum(1)

    def _log_density(self, z: Tensor, genre: Tensor) -> Tensor:
        with precise(z):
            states = self._states_given(z, genre)
            mean, log_variance = self._moments(states)
            noise = (z.unflatten(1, (-1, self.latent)) - mean) * torch.exp(-0.5 * log_variance)
            log_scale = 0.5 * log_variance
            for coupling in reversed(self.couplings):
                noise, more = coupling.to_noise(noise, states)
                log_scale = log_scale + more
            normal = torch.zeros_like(noise)
            return (gaussian_log_density(noise, normal, normal) - log_scale).flatten(1)

    def _from_noise(self, noise: Tensor, states: Tensor) -> Tensor:
        for coupling in self.couplings:
            noise = coupling.from_noise(noise, states)
        return super()._from_noise(noise, states)


class Coupling(nn.Module):
    """Every other number scaled and shifted by what those between, and a condition, say. It begins as the identity."""

    def __init__(self, size: int, condition_size: int, first: int) -> None:
        """`first`: 0 or 1, the place of the first number that is changed."""
        super().__init__()
        self.changed, self.kept = slice(first, None, 2), slice(1 - first, None, 2)
        n_kept = len(range(size)[self.kept])
        self.net = nn.Sequential(
            nn.Linear(n_kept + condition_size, condition_size // 2),
            nn.GELU(),
            nn.Linear(condition_size // 2, 2 * (size - n_kept)),
        )
        nn.init.zeros_(self.net[2].weight)
        nn.init.zeros_(self.net[2].bias)

    def from_noise(self, values: Tensor, condition: Tensor) -> Tensor:
        """`values` (..., size), changed; `condition` (..., condition size)."""
        shift, log_scale = self._change(values, condition)
        result = values.clone()
        result[..., self.changed] = values[..., self.changed] * log_scale.exp() + shift
        return result

    def to_noise(self, values: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse, and the logarithms of the scales by which `from_noise` stretches each number."""
        shift, log_scale = self._change(values, condition)
        result, log_scales = values.clone(), torch.zeros_like(values)
        result[..., self.changed] = (values[..., self.changed] - shift) * torch.exp(-log_scale)
        log_scales[..., self.changed] = log_scale
        return result, log_scales

    def _change(self, values: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self.net(torch.cat([values[..., self.kept], condition], dim=-1)).chunk(2, dim=-1)
        return shift, 2 * torch.tanh(log_scale / 2)


def precise(z: Tensor) -> torch.autocast:
    """A context without autocast: rounded latents would have a divergence of their own."""
    return torch.autocast(z.device.type, enabled=False)


def gaussian_log_density(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of diagonal Gaussians, each dimension, of the shape of all three."""
    squared = (z - mean).square() * torch.exp(-log_variance)
    return -0.5 * (squared + log_variance + math.log(2 * math.pi))


def gaussian_kl(posterior: Posterior, mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of diagonal Gaussians, each dimension, of the shape of all four."""
    shift = (posterior.mean - mean).square() * torch.exp(-log_variance)
    ratio = posterior.log_variance - log_variance
    return 0.5 * (shift + ratio.exp() - 1 - ratio)


STANDARD_NORMAL, AUTOREGRESSIVE, FLOW = "standard-normal", "autoregressive", "flow"
PRIORS: dict[str, type[nn.Module]] = {
    STANDARD_NORMAL: StandardNormal, AUTOREGRESSIVE: Autoregressive, FLOW: AutoregressiveFlow,
}  # fmt: skip
