"""Critic D(X, y) of the WGAN-GP (report, section 2.2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import PITCHES, SLOPE, RollCritic, root, times_slope
from ..compiling import compilable
from ..frames import Convolution, convolve, convolve_transposed, quadratic_form
from .keys import sounding

_LAGS = 3  # by which two filters of conv1, 5 frames at a stride of 2, overlap


class Activations(NamedTuple):
    """The output of each layer before its LeakyReLU, and the score (B,)."""

    first: Tensor  # (B, T / 2, hidden)
    second: Tensor  # (B, T / 4, hidden / 2)
    third: Tensor  # (B, hidden)
    score: Tensor


class Critic(RollCritic):
    """Two strided convolutions over time and two linear layers; the genre embedding is appended to every frame."""

    network = "convolutions"
    grown_tensors = ("linear1.weight",)

    def __init__(self, n_genres: int, seq_len: int, hidden: int = 32, genre_size: int = 4) -> None:
        """Raises `ValueError` unless `seq_len` is a multiple of 4."""
        super().__init__()
        if seq_len % 4:
            raise ValueError(f"seq_len must be a multiple of 4, but is {seq_len}")
        self.seq_len = seq_len
        self.genre = nn.Embedding(n_genres, genre_size)
        self.conv1 = Convolution(PITCHES + genre_size, hidden, 5, stride=2)
        self.conv2 = Convolution(hidden, hidden // 2, 5, stride=2)
        self.linear1 = nn.Linear(hidden // 2 * seq_len // 4, hidden)
        self.linear2 = nn.Linear(hidden, 1)

    @compilable
    def forward(self, roll: Tensor, genre: Tensor, z: Tensor | None = None) -> Tensor:
        """Scores (B,) of rolls (B, 128, T) in [0, 1] with `genre` int64 (B,); z is ignored."""
        return self.activations(self.first_layer(roll) + self.genre_layer(genre)).score

    def first_layer(self, roll: Tensor) -> Tensor:
        """The roll's part of the first convolution, (B, T / 2, hidden): linear, without bias."""
        return convolve(roll.transpose(1, 2), self.conv1.weight[:, :PITCHES], stride=2)

    def genre_layer(self, genre: Tensor) -> Tensor:
        """The genre's part of the first convolution with the bias, (B, T / 2, hidden)."""
        # The embedding is the same in all frames: convolve one row per genre, not one per window.
        embedded = self.genre.weight[:, None].expand(-1, self.seq_len, -1)
        of_genres = convolve(embedded, self.conv1.weight[:, PITCHES:], self.conv1.bias, stride=2)
        # The gradient of an embedding look-up is faster than that of an index.
        return F.embedding(genre, of_genres.flatten(1)).view(-1, *of_genres.shape[1:])

    def activations(self, first: Tensor) -> Activations:
        """All layers, from the output `first` (B, T / 2, hidden) of the first convolution."""
        second = self.conv2(F.leaky_relu(first, SLOPE))
        third = self.linear1(F.leaky_relu(second, SLOPE).transpose(1, 2).flatten(1))
        return Activations(first, second, third, self.linear2(F.leaky_relu(third, SLOPE))[:, 0])

    def scores_and_gradient_norm(
        self, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor, latents: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As in `RollCritic`, in closed form: fewer passes than autograd's double backward, and it can be compiled."""
        # The first layer is linear: mixing its outputs is mixing the rolls, two convolutions instead of three.
        first_fake, of_genre = self.first_layer(fake), self.genre_layer(genre)
        keys = sounding(real.transpose(1, 2))
        first_real = convolve(real[:, keys].transpose(1, 2).contiguous(), self.conv1.weight[:, keys], stride=2)
        first = torch.cat([first_real + of_genre, first_fake + of_genre])
        scores = self.activations(first).score
        with torch.no_grad():  # only the signs of the mixed activations enter the gradient: they are constants
            first_real, first_fake = first.chunk(2)
            mixed = self.activations(torch.lerp(first_fake, first_real, mix[:, None, None].to(first.dtype)))
        return *scores.chunk(2), self.input_gradient_norm(mixed)

    def input_gradient_norm(self, activations: Activations) -> Tensor:
        """Euclidean norm (B,) of the score's gradient with respect to the roll.

        The critic is piecewise linear: the gradient is a product of its weights and the slopes at `activations`. An
        ordinary backward pass through this function is the double backward of the gradient penalty.
        The last factor is the transpose of conv1. Its result has the size of the roll; a narrow critic gets the norm
        with fewer products from those of pairs of filters.
        """
        to_third = times_slope(self.linear2.weight.expand_as(activations.third), activations.third)
        to_second = (to_third @ self.linear1.weight).view(len(to_third), -1, self.seq_len // 4).transpose(1, 2)
        to_first = convolve_transposed(times_slope(to_second, activations.second), self.conv2.weight, stride=2)
        to_first = times_slope(to_first, activations.first)
        weight = self.conv1.weight[:, :PITCHES]
        if _LAGS * len(weight) < weight[0].numel():
            squared = _transposed_square(to_first, weight)
        else:
            gradient = convolve_transposed(to_first, weight, stride=2)
            squared = _wide(gradient).square().sum((1, 2))
        return root(squared)

    @torch.no_grad()
    def grow_from(self, shorter: "Critic") -> None:
        """Take over a critic for T / k frames: the linear layer sees the mean of the k parts."""
        repeats = self.seq_len // shorter.seq_len
        hidden, channels = self.config["hidden"], self.config["hidden"] // 2
        weight = shorter.linear1.weight.view(hidden, channels, shorter.seq_len // 4)
        self.linear1.weight.copy_((weight / repeats).repeat(1, 1, repeats).flatten(1))


def _wide(values: Tensor) -> Tensor:
    """`values` in float32 or more: sums of squares in bfloat16 would lose their differences."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _transposed_square(frames: Tensor, weight: Tensor) -> Tensor:
    """Squared norm (B,) of conv1's transpose applied to `frames` (B, T / 2, hidden); `weight` (hidden, 128, 5).

    ||W^T g||^2 = sum over pairs of output frames of g_i^T (W_i W_j^T) g_j. Filters 2 * lag frames apart overlap for
    lags -2 to 2: a convolution of g, multiplied by g. The share of frames in the padding, outside the roll, is
    subtracted.
    """
    overlaps = []
    for lag in range(_LAGS):
        taps = 5 - 2 * lag
        overlaps.append(weight[:, :, 2 * lag :].flatten(1) @ weight[:, :, :taps].flatten(1).t())
    earlier = [overlap.t() for overlap in overlaps[:0:-1]]
    before_start = frames[:, 0] @ weight[:, :, :2].flatten(1)
    after_end = frames[:, -1] @ weight[:, :, 4]
    squared = quadratic_form(frames, torch.stack([*earlier, *overlaps], dim=2))
    return squared - _wide(before_start).square().sum(1) - _wide(after_end).square().sum(1)
