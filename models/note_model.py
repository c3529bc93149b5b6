"""The note decoder alone, without a latent: p(X), and p(X | what was before), of rolls with any number of keys."""

import torch
from torch import Tensor, nn

from .latents import FRAMES_A_SECOND
from .note_decoder import NoteDecoder
from .notes import by_length, notes_of

_HEAD_SIZE = 32


class NoteModel(nn.Module):
    """A model of density over rolls (B, pitches, T) of up to `horizon` frames."""

    kind, network = "density", "notes"

    def __init__(self, pitches: int = 88, horizon: int = 128, hidden: int = 192, depth: int = 4) -> None:
        super().__init__()
        self.config = {"pitches": pitches, "horizon": horizon, "hidden": hidden, "depth": depth}
        self.pitches, self.horizon = pitches, horizon
        heads = max(1, hidden // _HEAD_SIZE)
        self.decoder = NoteDecoder(pitches, horizon, FRAMES_A_SECOND, 1, hidden, depth, heads)

    def attention_matrices(self) -> list[Tensor]:
        """The weights of the attention and feed-forward layers, for an optimiser of matrices."""
        return self.decoder.attention_matrices()

    def nll(self, roll: Tensor, lengths: Tensor, before: Tensor) -> Tensor:
        """-log p(X | before) in nats, float32 (B,), of rolls (B, pitches, T), of which `lengths` (B,) frames count.

        `before` (B, pitches, C): the frames before, aligned to their end; silence where there are none.
        """
        notes, earlier = notes_of(roll), notes_of(before)
        present = torch.arange(earlier.onset.shape[1], device=roll.device) < earlier.count[:, None]
        earlier = earlier._replace(onset=torch.where(present, earlier.onset - before.shape[2], 0))
        nothing = roll.new_zeros(len(roll), 1, 1)  # no condition
        return -by_length(
            notes.count + earlier.count + 1,
            lambda rows: self.decoder.log_likelihood(
                nothing[rows], notes.of(rows), roll[rows], lengths[rows], earlier.of(rows)
            ),
        )
