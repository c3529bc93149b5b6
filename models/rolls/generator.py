"""Generator G(z, y): a latent and a genre to a whole piano roll in one step (report, section 2.2)."""

import torch
from torch import Tensor, nn

from ..base import PITCHES, RollGenerator
from ..compiling import compilable
from ..names import STANDARD_NORMAL
from ..prior import PRIOR_OF


class Generator(RollGenerator):
    """[z, genre embedding] -> Linear ReLU Linear ReLU Linear -> sigmoid of a whole window."""

    network = "mlp"
    grown_tensors = ("roll.weight", "roll.bias")

    def __init__(
        self, n_genres: int, seq_len: int, latent: int = 32, hidden: int = 32, genre_size: int = 4,
        prior: str = STANDARD_NORMAL,
    ) -> None:  # fmt: skip
        super().__init__()
        self.seq_len, self.latent = seq_len, latent
        self.prior = PRIOR_OF[prior](latent, n_genres)
        self.genre = nn.Embedding(n_genres, genre_size)
        self.trunk = nn.Sequential(
            nn.Linear(latent + genre_size, hidden), nn.ReLU(), nn.Linear(hidden, 2 * hidden), nn.ReLU()
        )
        # Frame after frame: row t * 128 + p is pitch p of frame t.
        self.roll = nn.Linear(2 * hidden, seq_len * PITCHES)

    @compilable
    def logits(self, z: Tensor, genre: Tensor, uniform: Tensor | None = None) -> Tensor:
        """(B, 128, T) from `z` (B, latent) and `genre` int64 (B,); without noise of its own."""
        hidden = self.trunk(torch.cat([z, self.genre(genre)], dim=1))
        return self.roll(hidden).unflatten(1, (self.seq_len, PITCHES)).transpose(1, 2)

    @torch.no_grad()
    def grow_from(self, shorter: "Generator") -> None:
        """Take over a generator for T / k frames: its window is repeated k times."""
        repeats = self.seq_len // shorter.seq_len
        self.roll.weight.copy_(shorter.roll.weight.repeat(repeats, 1))
        self.roll.bias.copy_(shorter.roll.bias.repeat(repeats))
