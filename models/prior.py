"""What latents are sampled from: a part of the CVAE and of the generator, which travels in their weights files."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Posterior(NamedTuple):
    """q(z | X, E, y), a diagonal Gaussian. Both fields are float32 (B, latent)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """z = mean + sigma * noise, with standard normal `noise` (B, latent)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


class StandardNormal(nn.Module):
    """N(0, I), the published system's prior: the same for every genre, and nothing to learn."""

    def __init__(self, latent: int, n_genres: int) -> None:
        super().__init__()

    def sample(self, noise: Tensor, genre: Tensor) -> Tensor:
        """z (B, latent) from standard normal `noise` (B, latent), in its dtype; `genre` int64 (B,)."""
        return noise

    def kl(self, posterior: Posterior, genre: Tensor) -> Tensor:
        """KL(q || p(z | y)) of each latent dimension in nats, (B, latent)."""
        mean, log_variance = posterior
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


STANDARD_NORMAL = "standard-normal"
PRIORS: dict[str, type[nn.Module]] = {STANDARD_NORMAL: StandardNormal}
