"""Latents to conditions: what the note decoder and the convolutional generator receive for every second."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..compiling import compilable
from ..frames import Convolution, normalise


class ConditionedConvolution(nn.Module):
    """A residual convolution over time; the condition scales and shifts its normalised input. Identity at first."""

    def __init__(self, channels: int, condition_size: int) -> None:
        super().__init__()
        self.condition = nn.Linear(condition_size, 2 * channels)
        self.mix = Convolution(channels, 2 * channels, 3)
        self.back = Convolution(2 * channels, channels, 1)
        for layer in (self.condition, self.back):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        """(B, n, channels) from `hidden` of the same shape and `condition` (B, condition size)."""
        scale, shift = self.condition(condition)[:, None].chunk(2, dim=2)
        return hidden + self.back(F.gelu(self.mix(torch.addcmul(shift, normalise(hidden, 1), 1 + scale))))


class LatentPlan(nn.Module):
    """Maps z and the genre to one condition vector for each second, which depends on the neighbouring latents too."""

    def __init__(self, latent: int, genre_size: int, channels: int) -> None:
        super().__init__()
        self.latent = latent
        self.widen = nn.Linear(latent + genre_size, channels)
        self.neighbours = nn.ModuleList(ConditionedConvolution(channels, genre_size) for _ in range(2))

    @compilable
    def forward(self, z: Tensor, genre: Tensor) -> Tensor:
        """(B, T / 16, channels) from z (B, T / 16 * latent) and genre embeddings (B, genre size)."""
        seconds = z.unflatten(1, (-1, self.latent))
        each = torch.cat([seconds, genre[:, None].expand(-1, seconds.shape[1], -1)], dim=2)
        hidden = self.widen(each)
        for layer in self.neighbours:
            hidden = layer(hidden, genre)
        return hidden
