"""Convolutional generator: a latent for every second, a genre and noise for every frame, to a piano roll."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import FRAMES_A_SECOND, PITCHES, RollGenerator
from ..frames import Convolution, normalise
from ..names import AUTOREGRESSIVE
from ..onset_groups import group_onsets
from ..playing import Playing
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
    """One column of features for each second, doubled in time four times to its 16 frames; any number of seconds.

    z and the genre condition every level. A posterior tells what a second is like and leaves open which notes it has;
    that choice is the noise's: `noise` numbers for each frame, which each level receives together with its features.
    """

    network = "convolutions"
    any_length = True
    plays_by = ("group_onsets",)

    def __init__(
        self, n_genres: int, seq_len: int, latent: int = 16, hidden: int = 128, genre_size: int = 32,
        prior: str = AUTOREGRESSIVE, noise: int = 0,
    ) -> None:  # fmt: skip
        """`hidden`: channels of the last level, half of the first's. `seq_len`: frames of training windows.

        Raises `ValueError` for a `hidden` that the groups and levels do not divide.
        """
        super().__init__()
        if hidden % (_GROUPS * _DOUBLINGS):
            raise ValueError(f"hidden must be a multiple of {_GROUPS * _DOUBLINGS}, but is {hidden}")
        self.seq_len, self.latent, self.noise = seq_len, latent, noise
        self.prior = PRIOR_OF[prior](latent, n_genres)
        self.genre = nn.Embedding(n_genres, genre_size)
        self.plan = LatentPlan(latent, genre_size, hidden)
        step = hidden // _DOUBLINGS
        channels = [2 * hidden - step * level for level in range(_DOUBLINGS + 1)]
        self.first = nn.Linear(hidden, channels[0])
        pairs = zip([channels[0], *channels[:-1]], channels, strict=True)
        of_noise = [noise * FRAMES_A_SECOND >> level for level in range(_DOUBLINGS + 1)]  # for a column of each level
        self.levels = nn.ModuleList(
            Level(inputs + more, outputs, hidden) for (inputs, outputs), more in zip(pairs, of_noise, strict=True)
        )
        self.roll = Convolution(channels[-1], PITCHES, 3)

    def chance_shape(self, seq_len: int, playing: Playing = Playing()) -> tuple[int, int] | None:
        """Shape of the uniform numbers that draw one window of any length."""
        return (seq_len, self.noise) if self.noise else None

    def logits(self, z: Tensor, genre: Tensor, uniform: Tensor | None = None) -> Tensor:
        """(B, 128, T) from `z` (B, T / 16 * latent), `genre` int64 (B,) and `uniform` (B, T, noise) in [0, 1)."""
        condition = self.plan(z, self.genre(genre))
        if uniform is None:
            shape = len(z), condition.shape[1] * FRAMES_A_SECOND, self.noise
            uniform = torch.rand(shape, dtype=z.dtype, device=z.device)
        noise = (uniform - 0.5) * 12**0.5  # of variance 1
        features = self.first(condition)
        for level, layer in enumerate(self.levels):
            if level:
                features = features.repeat_interleave(2, dim=1)
            of_columns = noise.reshape(*features.shape[:2], -1)
            features = layer(torch.cat([features, of_columns.to(features.dtype)], dim=2), condition)
        return self.roll(F.gelu(features)).transpose(1, 2).float()

    def play(self, probability: Tensor, playing: Playing = Playing()) -> Tensor:
        """Rolls, bool (B, 128, T): cells above the threshold, by default with the onsets of a chord in one frame."""
        roll = super().play(probability, playing)
        return group_onsets(roll) if playing.group_onsets else roll
