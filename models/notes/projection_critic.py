"""Projection critic D(X, y, z): genre and latent enter the score by inner products (Miyato and Koyama 2018)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import PITCHES, SLOPE, RollCritic, root, times_slope
from ..compiling import compilable
from ..frames import Convolution, convolve, convolve_transposed
from .outline import NUMBERS, parted

_STRIDED = 4


class ProjectionCritic(RollCritic):
    """Strided convolutions over the roll and its change from frame to frame; scores windows of any length.

    The score is linear in the features' mean over time, plus the inner product of that mean with an embedding of the
    genre. A genre appended to the roll would be one input among many, which training may come to ignore.
    With `latent` each second's features have an inner product with an embedding of the second's latent too. The critic
    then compares pairs (window, its encoded z) with pairs (G(z), z) (Donahue et al. 2017, Dumoulin et al. 2017): clips
    that are all alike do not satisfy it.
    """

    network = "projection"
    any_length = True

    def __init__(self, n_genres: int, seq_len: int, hidden: int = 128, latent: int = 0, outline: bool = False) -> None:
        """`hidden`: channels of the first layer; the last has twice as many. `seq_len`: frames of training windows.

        `latent`: numbers of z for each second; 0 for a critic without z. `outline`: they come with an outline, as from
        `ConvGenerator.with_outline`, which enters the first layer.
        """
        super().__init__()
        self.seq_len = seq_len
        channels = [hidden + hidden * level // _STRIDED for level in range(_STRIDED + 1)]
        self.first = Convolution(2 * PITCHES, channels[0], 3)
        self.strided = nn.ModuleList(Convolution(*sizes, 5, stride=2) for sizes in pairwise(channels))
        self.linear = nn.Linear(channels[-1], 1)
        self.genre = nn.Embedding(n_genres, channels[-1])
        nn.init.zeros_(self.genre.weight)
        self.latent = nn.Linear(latent, channels[-1], bias=False) if latent else None
        if self.latent:
            nn.init.zeros_(self.latent.weight)
        self.outline = Convolution(NUMBERS, channels[0], 5) if outline else None

    @compilable
    def forward(self, roll: Tensor, genre: Tensor, z: Tensor | None = None) -> Tensor:
        """Scores (B,) of rolls (B, 128, T) in [0, 1] with `genre` int64 (B,) and `z` (B, T / 16 * latent).

        With an outline, `z` has 48 numbers more for each second. Without z the score is of the roll alone.
        """
        z, numbers = self._parted(z)
        return self._score(self._layers(self._first(roll, numbers))[-1], genre, z)

    def scores_and_gradient_norm(
        self, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor, latents: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As in `RollCritic`, in closed form, without a backward pass over the mixed rolls; it can be compiled.

        The critic is piecewise linear: the gradient is a product of its weights and slopes. Only the signs of the mixed
        activations enter it, which are constants.
        """
        z, numbers = self._parted(None if latents is None else torch.cat(latents))
        first = self._first(torch.cat([real, fake]), numbers)
        scores = self._score(self._layers(first)[-1], genre.repeat(2), z)
        with torch.no_grad():  # the first layer is affine: mixing its outputs is mixing the rolls
            first_real, first_fake = first.chunk(2)
            mixed = self._layers(torch.lerp(first_fake, first_real, mix[:, None, None].to(first.dtype)))
        weight = (self.linear.weight + self.genre(genre))[:, None]
        if self.latent is not None and z is not None:
            z_real, z_fake = z.chunk(2)
            weight = weight + self.latent(torch.lerp(z_fake, z_real, mix[:, None, None].to(z.dtype)))
        gradient = times_slope(weight.expand_as(mixed[-1]) / mixed[-1].shape[1], mixed[-1])
        for layer, before in zip(reversed(self.strided), mixed[-2::-1], strict=True):
            gradient = times_slope(convolve_transposed(gradient, layer.weight, stride=2), before)
        gradient = convolve_transposed(gradient, self._kernel())
        return *scores.chunk(2), root(gradient.float().square().sum((1, 2)))

    def _layers(self, first: Tensor) -> list[Tensor]:
        """The output of each layer before its LeakyReLU, from that of the first layer."""
        outputs = [first]
        for layer in self.strided:
            outputs.append(layer(F.leaky_relu(outputs[-1], SLOPE)))
        return outputs

    def _score(self, last: Tensor, genre: Tensor, z: Tensor | None) -> Tensor:
        """The score from the output `last` (B, T / 16, channels) of the last layer."""
        features = F.leaky_relu(last, SLOPE)
        summary = features.mean(1)
        score = self.linear(summary)[:, 0] + (self.genre(genre) * summary).sum(1)
        if self.latent is None or z is None:
            return score
        return score + (self.latent(z) * features).sum(2).mean(1)

    def _parted(self, z: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """The latents of each second (B, T / 16, latent), and the numbers of the outline (B, T, 3) if there is one."""
        if z is None or self.latent is None:
            return None, None
        latent = self.latent.in_features
        return parted(z, latent) if self.outline else (z.unflatten(1, (-1, latent)), None)

    def _first(self, roll: Tensor, numbers: Tensor | None) -> Tensor:
        """The first layer, (B, T, channels), of rolls (B, 128, T) and their change, with silence before and after."""
        first = convolve(roll.transpose(1, 2), self._kernel(), self.first.bias)
        return first if numbers is None else first + self.outline(numbers.to(roll.dtype))

    def _kernel(self) -> Tensor:
        """The first layer's weight (channels, 128, 5), for a roll alone.

        Roll and change are linear in the roll: one convolution with a combined kernel equals that of the two stacked.
        Stacking them took a quarter of a training step.
        """
        of_roll, of_change = self.first.weight.split(PITCHES, dim=1)
        return F.pad(of_roll + of_change, (1, 1)) - F.pad(of_change, (0, 2))
