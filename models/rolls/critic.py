"""Critic D(X, y) of the WGAN-GP (report, section 2.2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import PITCHES, SLOPE, RollCritic


class Activations(NamedTuple):
    """The output of each layer before its LeakyReLU, and the score (B,)."""

    first: Tensor  # (B, hidden, T / 2)
    second: Tensor  # (B, hidden / 2, T / 4)
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
        self.conv1 = nn.Conv1d(PITCHES + genre_size, hidden, 5, stride=2, padding=2)
        self.conv2 = nn.Conv1d(hidden, hidden // 2, 5, stride=2, padding=2)
        self.linear1 = nn.Linear(hidden // 2 * seq_len // 4, hidden)
        self.linear2 = nn.Linear(hidden, 1)

    def forward(self, roll: Tensor, genre: Tensor, z: Tensor | None = None) -> Tensor:
        """Scores (B,) of rolls (B, 128, T) in [0, 1] with `genre` int64 (B,); z is ignored."""
        return self.activations(self.first_layer(roll) + self.genre_layer(genre)).score

    def first_layer(self, roll: Tensor) -> Tensor:
        """The roll's part of the first convolution, (B, hidden, T / 2): linear, without bias."""
        return F.conv1d(roll, self.conv1.weight[:, :PITCHES], stride=2, padding=2)

    def genre_layer(self, genre: Tensor) -> Tensor:
        """The genre's part of the first convolution with the bias, (B, hidden, T / 2)."""
        # The embedding is the same in all frames: convolve one row per genre, not one per window.
        embedded = self.genre.weight[:, :, None].expand(-1, -1, self.seq_len)
        of_genres = F.conv1d(embedded, self.conv1.weight[:, PITCHES:], self.conv1.bias, stride=2, padding=2)
        return of_genres[genre]

    def activations(self, first: Tensor) -> Activations:
        """All layers, from the output `first` (B, hidden, T / 2) of the first convolution."""
        second = self.conv2(F.leaky_relu(first, SLOPE))
        third = self.linear1(F.leaky_relu(second, SLOPE).flatten(1))
        return Activations(first, second, third, self.linear2(F.leaky_relu(third, SLOPE))[:, 0])

    def scores_and_gradient_norm(
        self, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor, latents: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As in `RollCritic`; on a CPU with fewer passes than autograd's double backward."""
        if real.device.type != "cpu":
            return super().scores_and_gradient_norm(real, fake, genre, mix, latents)
        # The first layer is linear: mixing its outputs is mixing the rolls, two convolutions instead of three.
        first_real, first_fake = self.first_layer(real), self.first_layer(fake)
        first_mixed = torch.lerp(first_fake, first_real, mix[:, None, None].to(first_real.dtype))
        of_genre = self.genre_layer(genre)
        together = self.activations(torch.cat([first_real + of_genre, first_fake + of_genre, first_mixed + of_genre]))
        score_real, score_fake, _ = together.score.chunk(3)
        mixed = Activations(*(field.chunk(3)[2] for field in together))
        return score_real, score_fake, self.input_gradient_norm(mixed)

    def input_gradient_norm(self, activations: Activations) -> Tensor:
        """Euclidean norm (B,) of the score's gradient with respect to the roll.

        The critic is piecewise linear: the gradient is a product of its weights and the slopes at `activations`. An
        ordinary backward pass through this function is the double backward of the gradient penalty.
        The last factor, the transpose of conv1, would have the roll's size; its norm needs only the products of pairs
        of filters.
        """
        to_third = _slope(activations.third) * self.linear2.weight
        to_second = _slope(activations.second) * (to_third @ self.linear1.weight).view_as(activations.second)
        to_first = F.conv_transpose1d(to_second, self.conv2.weight, stride=2, padding=2, output_padding=1)
        return self._transposed_first_layer_norm(_slope(activations.first) * to_first)

    def _transposed_first_layer_norm(self, gradient: Tensor) -> Tensor:
        """Norm (B,) of conv1's transpose applied to `gradient` (B, hidden, T / 2), roll channels only.

        ||W^T g||^2 = sum over pairs of output frames of g_i^T (W_i W_j^T) g_j. Filters 2 * lag frames apart overlap for
        lags 0, 1 and 2. The share of frames in the padding, outside the roll, is subtracted.
        """
        weight = self.conv1.weight[:, :PITCHES]  # (hidden, 128, 5)
        frames = gradient.transpose(1, 2)  # (B, T / 2, hidden)
        squared = frames.new_zeros(())
        for lag in range(3):
            taps = 5 - 2 * lag
            overlap = weight[:, :, 2 * lag :].flatten(1) @ weight[:, :, :taps].flatten(1).t()
            earlier, later = frames[:, : frames.shape[1] - lag], frames[:, lag:]
            squared = squared + (1 if lag == 0 else 2) * ((earlier @ overlap) * later).sum((1, 2))
        before_start = frames[:, 0] @ weight[:, :, :2].flatten(1)
        after_end = frames[:, -1] @ weight[:, :, 4]
        squared = squared - before_start.square().sum(1) - after_end.square().sum(1)
        # The square root has no derivative at 0: the clamp gives 0 there instead of NaN.
        return squared.clamp_min(1e-20).sqrt()

    @torch.no_grad()
    def grow_from(self, shorter: "Critic") -> None:
        """Take over a critic for T / k frames: the linear layer sees the mean of the k parts."""
        repeats = self.seq_len // shorter.seq_len
        hidden, channels = self.config["hidden"], self.config["hidden"] // 2
        weight = shorter.linear1.weight.view(hidden, channels, shorter.seq_len // 4)
        self.linear1.weight.copy_((weight / repeats).repeat(1, 1, repeats).flatten(1))


def _slope(before: Tensor) -> Tensor:
    return torch.where(before > 0, 1.0, SLOPE)
