"""The note decoder alone, without a latent: p(X), and p(X | what was before), of rolls with any number of keys."""

import torch
from torch import Tensor, nn

from .note_cvae import NOTES_AT_ONCE, split_by_length
from .note_decoder import NoteDecoder
from .notes import Notes, notes_of

_HEAD_SIZE = 32
_STRETCH = 16  # frames: where a note begins is told modulo this


class NoteModel(nn.Module):
    """A model of density over rolls (B, pitches, T) of up to `horizon` frames."""

    kind, network = "density", "notes"

    def __init__(
        self, pitches: int = 88, horizon: int = 128, hidden: int = 192, depth: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.config = {
            "pitches": pitches, "horizon": horizon, "hidden": hidden, "depth": depth, "dropout": dropout,
        }  # fmt: skip
        self.pitches, self.horizon = pitches, horizon
        heads = max(1, hidden // _HEAD_SIZE)
        self.decoder = NoteDecoder(pitches, horizon, _STRETCH, 1, hidden, depth, heads, dropout)

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
        parts, places = [], []
        for rows in split_by_length(notes.count + earlier.count + 1, NOTES_AT_ONCE):
            nothing = roll.new_zeros(len(rows), 1, 1)
            given: Notes = earlier.of(rows)
            parts.append(self.decoder.log_likelihood(nothing, notes.of(rows), roll[rows], lengths[rows], given))
            places.append(rows)
        return -torch.cat(parts)[torch.cat(places).argsort()]
