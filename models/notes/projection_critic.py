"""Projection critic D(X, y, z): genre and latent enter the score by inner products (Miyato and Koyama 2018)."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from ..base import PITCHES, SLOPE, RollCritic

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

    def __init__(self, n_genres: int, seq_len: int, hidden: int = 128, latent: int = 0) -> None:
        """`hidden`: channels of the first layer; the last has twice as many. `seq_len`: frames of training windows.

        `latent`: numbers of z for each second; 0 for a critic without z.
        """
        super().__init__()
        self.seq_len = seq_len
        channels = [hidden + hidden * level // _STRIDED for level in range(_STRIDED + 1)]
        self.first = nn.Conv1d(2 * PITCHES, channels[0], 3, padding=1)
        self.strided = nn.ModuleList(
            nn.Conv1d(inputs, outputs, 5, stride=2, padding=2) for inputs, outputs in pairwise(channels)
        )
        self.linear = nn.Linear(channels[-1], 1)
        self.genre = nn.Embedding(n_genres, channels[-1])
        nn.init.zeros_(self.genre.weight)
        self.latent = nn.Linear(latent, channels[-1], bias=False) if latent else None
        if self.latent:
            nn.init.zeros_(self.latent.weight)

    def forward(self, roll: Tensor, genre: Tensor, z: Tensor | None = None) -> Tensor:
        """Scores (B,) of rolls (B, 128, T) in [0, 1] with `genre` int64 (B,) and `z` (B, T / 16 * latent), or z = 0."""
        features = F.leaky_relu(self._of_roll_and_change(roll), SLOPE)
        for layer in self.strided:
            features = F.leaky_relu(layer(features), SLOPE)
        summary = features.mean(2)
        score = self.linear(summary)[:, 0] + (self.genre(genre) * summary).sum(1)
        if self.latent is None or z is None:
            return score
        of_second = features.transpose(1, 2)  # (B, T / 16, channels)
        return score + (self.latent(z.unflatten(1, (of_second.shape[1], -1))) * of_second).sum(2).mean(1)

    def _of_roll_and_change(self, roll: Tensor) -> Tensor:
        """The first layer, (B, channels, T), of the roll (B, 128, T) and its change, with silence before and after.

        Both are linear in the roll: one convolution with a combined kernel equals that of the two stacked. Stacking
        them took a quarter of a training step.
        """
        of_roll, of_change = self.first.weight.split(PITCHES, dim=1)
        kernel = F.pad(of_roll + of_change, (1, 1)) - F.pad(of_change, (0, 2))
        return F.conv1d(roll, kernel, self.first.bias, padding=2)
