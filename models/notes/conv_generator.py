"""Convolutional generator: a latent for every second, a genre, outline and noise for every frame, to a piano roll."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import FRAMES_A_SECOND, MINIMUM_RATE, PITCHES, RollGenerator
from ..compiling import compilable
from ..frames import Convolution, normalise
from ..names import AUTOREGRESSIVE
from ..onset_groups import group_onsets
from ..playing import THRESHOLD, Playing
from ..prior import PRIOR_OF
from .outline import IMPOSSIBLE, NUMBERS, Outline, follow_outline, joined, outline_from, outline_of, parted
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
    With an `outline`, each level also receives for each frame how many notes begin and end and the highest that begins.
    The roll follows these numbers (`follow_outline`). A network of its own draws them (`Outline`); in training they are
    also those of real windows.
    """

    network = "convolutions"
    any_length = True

    def __init__(
        self, n_genres: int, seq_len: int, latent: int = 16, hidden: int = 128, genre_size: int = 32,
        prior: str = AUTOREGRESSIVE, noise: int = 0, outline: int = 0,
    ) -> None:  # fmt: skip
        """`hidden`: channels of the last level, half of the first's. `seq_len`: frames of training windows.

        `outline`: width of the network that draws the outline; 0 for a generator without one.

        Raises `ValueError` for a `hidden` or an `outline` that groups, levels or heads do not divide.
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
        self.outline = Outline(latent, n_genres, genre_size, outline) if outline else None
        self.plays_by = () if outline else ("group_onsets",)
        self.of_frame = noise + (NUMBERS if outline else 0)  # numbers beside z
        of_column = [self.of_frame * FRAMES_A_SECOND >> level for level in range(_DOUBLINGS + 1)]  # of each level
        self.levels = nn.ModuleList(
            Level(inputs + more, outputs, hidden) for (inputs, outputs), more in zip(pairs, of_column, strict=True)
        )
        self.roll = Convolution(channels[-1], PITCHES, 3)

    @torch.no_grad()
    def start_at(self, pitch_rate: Tensor) -> None:
        """As in `RollGenerator`. With an outline, keys that training music hardly has begin only as its highest.

        The notes that an outline demands are the best of the keys, also where none is any good. The outline learns
        from real windows how seldom these keys are the highest, and begins with the least rate.
        """
        super().start_at(pitch_rate)
        if self.outline:
            rare = pitch_rate < MINIMUM_RATE
            self.roll.bias[rare] = IMPOSSIBLE
            self.outline.highest[-1].bias[: len(rare)][rare] = math.log(MINIMUM_RATE)

    def chance_shape(self, seq_len: int, playing: Playing = Playing()) -> tuple[int, int] | None:
        """Shape of the uniform numbers that draw one window of any length: its noise, and last its outline."""
        return (seq_len, self.of_frame) if self.of_frame else None

    def with_outline(self, z: Tensor, roll: Tensor) -> Tensor:
        """`z` with the roll's outline after the latent of each second, if the generator has an outline."""
        return joined(z, outline_of(roll), self.latent) if self.outline else z

    def with_drawn_outline(self, z: Tensor, genre: Tensor, uniform: Tensor | None = None) -> Tensor:
        """`z` as from `with_outline`, with an outline that the last three `uniform` numbers of each frame draw."""
        if not self.outline:
            return z
        uniform = self._uniform(z) if uniform is None else uniform
        return joined(z, self.outline.sample(z, genre, uniform[..., -NUMBERS:]), self.latent)

    def outline_nll(self, inputs: Tensor, genre: Tensor) -> Tensor | None:
        """-log p(outline | z, y) in nats, (B,), of z with its outline, if the generator has one."""
        if not self.outline:
            return None
        z, numbers = self._parted(inputs)
        return self.outline.nll(z, genre, outline_from(numbers))

    def logits(self, inputs: Tensor, genre: Tensor, uniform: Tensor | None = None) -> Tensor:
        """(B, 128, T) from `inputs` z, with an outline if the generator has one, `genre` int64 (B,), `uniform`."""
        z, numbers = self._parted(inputs)
        logits = self._free_logits(z, numbers, genre, self._uniform(z) if uniform is None else uniform)
        return (logits if numbers is None else follow_outline(logits, outline_from(numbers))).transpose(1, 2)

    @compilable
    def _free_logits(self, z: Tensor, numbers: Tensor | None, genre: Tensor, uniform: Tensor) -> Tensor:
        """Logits (B, T, 128) before they follow the outline."""
        condition = self.plan(z, self.genre(genre))
        of_frame = (uniform[..., : self.noise] - 0.5) * 12**0.5  # of variance 1
        if numbers is not None:
            of_frame = torch.cat([of_frame, numbers.to(of_frame.dtype)], dim=2)
        features = self.first(condition)
        for level, layer in enumerate(self.levels):
            if level:
                features = features.repeat_interleave(2, dim=1)
            of_columns = of_frame.reshape(*features.shape[:2], -1)
            features = layer(torch.cat([features, of_columns.to(features.dtype)], dim=2), condition)
        return self.roll(F.gelu(features)).float()

    def play(self, probability: Tensor, playing: Playing = Playing()) -> Tensor:
        """Rolls, bool (B, 128, T): cells above the threshold, by default with the onsets of a chord in one frame.

        With an outline, cells above one half: notes begin and end as it says.
        """
        if self.outline:
            return probability > THRESHOLD
        roll = super().play(probability, playing)
        return group_onsets(roll) if playing.group_onsets else roll

    def _uniform(self, z: Tensor) -> Tensor:
        shape = len(z), z.shape[1] // self.latent * FRAMES_A_SECOND, self.of_frame
        return torch.rand(shape, dtype=z.dtype, device=z.device)

    def _parted(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """z (B, T / 16 * latent) and the numbers of its outline (B, T, 3), if it has one."""
        if not self.outline:
            return inputs, None
        z, numbers = parted(inputs, self.latent)
        return z.flatten(1), numbers
