"""Convolutional generator: a latent for every second and a genre, which condition every layer, to a piano roll."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import PITCHES, RollGenerator
from ..frames import Convolution, normalise
from ..names import AUTOREGRESSIVE
from ..prior import PRIOR_OF
from .plan import LatentPlan

_GROUPS = 4
_DOUBLINGS = 4  # from a latent to its 16 frames


class Level(nn.Module):
    """A residual convolution; the condition of each second scales and shifts its normalised features (FiLM)."""

    def __init__(self, inputs: int, outputs: int, condition_size: int) -> None:
        super().__init__()
        self.condition = nn.Linear(condition_size, 2 * outputs)
        self.mix = Convolution(inputs, outputs, 5)
        self.again = Convolution(outputs, outputs, 3)
        self.skip = Convolution(inputs, outputs, 1)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(B, n, outputs) from `features` (B, n, inputs) and `condition` (B, seconds, condition size)."""
        repeats = features.shape[1] // condition.shape[1]
        scale, shift = self.condition(condition).repeat_interleave(repeats, dim=1).chunk(2, dim=2)
        mixed = torch.addcmul(shift, normalise(self.mix(features), _GROUPS), 1 + scale)
        return self.skip(features) + self.again(F.gelu(mixed))


class ConvGenerator(RollGenerator):
    """One column of features for each second, doubled in time four times to its 16 frames; any number of seconds."""

    network = "convolutions"
    any_length = True

    def __init__(
        self, n_genres: int, seq_len: int, latent: int = 16, hidden: int = 128, genre_size: int = 32,
        prior: str = AUTOREGRESSIVE,
    ) -> None:  # fmt: skip
        """`hidden`: channels of the last level, half of the first's. `seq_len`: frames of training windows.

        Raises `ValueError` for a `hidden` that the groups and levels do not divide.
        """
        super().__init__()
        if hidden % (_GROUPS * _DOUBLINGS):
            raise ValueError(f"hidden must be a multiple of {_GROUPS * _DOUBLINGS}, but is {hidden}")
        self.seq_len, self.latent = seq_len, latent
        self.prior = PRIOR_OF[prior](latent, n_genres)
        self.genre = nn.Embedding(n_genres, genre_size)
        self.plan = LatentPlan(latent, genre_size, hidden)
        step = hidden // _DOUBLINGS
        channels = [2 * hidden - step * level for level in range(_DOUBLINGS + 1)]
        self.first = nn.Linear(hidden, channels[0])
        pairs = zip([channels[0], *channels[:-1]], channels, strict=True)
        self.levels = nn.ModuleList(Level(inputs, outputs, hidden) for inputs, outputs in pairs)
        self.roll = Convolution(channels[-1], PITCHES, 3)

    def logits(self, z: Tensor, genre: Tensor) -> Tensor:
        """(B, 128, T) from `z` (B, T / 16 * latent) and `genre` int64 (B,)."""
        condition = self.plan(z, self.genre(genre))
        features = self.first(condition)
        for level, layer in enumerate(self.levels):
            if level:
                features = features.repeat_interleave(2, dim=1)
            features = layer(features, condition)
        return self.roll(F.gelu(features)).transpose(1, 2).float()
