"""Rolls measured by a CVAE of notes: code lengths, genre probabilities and vectors, for torch.hub and evaluations."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import FRAMES_A_SECOND, PITCHES
from .likelihoods import Tempering, score_windows
from .notes.note_cvae import NoteCVAE
from .notes.note_decoder import Past
from .notes.notes import by_length, count_notes, parts_by_length, roll_to_notes

_BITS = 1 / math.log(2)  # in a nat


class RollScores(NamedTuple):
    """Scores of B rolls under each genre, float64 on the CPU.

    `bits_per_second` and `bits_per_note`, (B, genres): -log2 p(X | y), z included, divided by the seconds or the notes;
    infinite without notes. `probability` (B, genres): p(y | X), calibrated, with equal p(y). `second_bits`
    (B, seconds, genres): the bits of each second.
    """

    bits_per_second: Tensor
    bits_per_note: Tensor
    probability: Tensor
    second_bits: Tensor


class RollScorer(nn.Module):
    """Scores rolls with a CVAE of notes, in windows of `window` frames, with `samples` z for each.

    `genres`: names, by position; `condition` says what they are.
    """

    def __init__(self, cvae: NoteCVAE, tempering: Tempering, samples: int, window: int = 128) -> None:
        super().__init__()
        self.cvae, self.tempering, self.samples, self.window = cvae, tempering, samples, window
        self.genres: list[str] = cvae.genres
        self.condition: str = cvae.condition

    @torch.no_grad()
    def forward(self, roll: Tensor, seed: int = 0) -> RollScores:
        """Scores of rolls (B, 128, frames) of any length, in which nonzero cells sound.

        `seed`: of the latents, which are equal for all rolls and genres, so that they compare. Raises ValueError for
        another shape.
        """
        sounding = whole_seconds(roll, next(self.cvae.parameters()))
        rng, nats = torch.Generator().manual_seed(seed), []
        for part in sounding.split(self.window, dim=2):
            shape = self.samples, 1, self.cvae.noise_size(part.shape[2])
            noise = torch.randn(shape, generator=rng, dtype=torch.float64).expand(-1, len(part), -1)
            of_genre = [score_windows(self.cvae, part, genre, noise).seconds for genre in range(len(self.genres))]
            nats.append(torch.stack(of_genre, dim=2))
        of_window = torch.stack([seconds.sum(1) for seconds in nats])  # (windows, B, genres)
        bits, notes = of_window.sum(0) * _BITS, count_notes(roll).cpu()
        return RollScores(
            bits / (roll.shape[2] / FRAMES_A_SECOND), bits / notes[:, None],
            self.tempering.of_windows(self.tempering.evidence(-of_window)), torch.cat(nats, dim=1) * _BITS,
        )  # fmt: skip


class RollEmbedder(nn.Module):
    """One vector of `size` numbers for each second of a roll, from the hidden states of a CVAE of notes.

    The first `encoder_size` numbers are the encoder's last hidden layer. The others are the mean of the decoder's
    states after the notes that begin in the second, given the posterior mean; 0 without notes. The genre, an input of
    both networks, is withheld: its embedding is the mean of all. A second is seen together with the others of its
    window of `window` frames.
    """

    def __init__(self, cvae: NoteCVAE, window: int = 128) -> None:
        super().__init__()
        self.cvae, self.window = cvae, window
        self.encoder_size: int = cvae.encoder.moments.in_channels
        self.size: int = self.encoder_size + cvae.decoder.width

    @torch.no_grad()
    def forward(self, roll: Tensor) -> Tensor:
        """Vectors, float32 (B, seconds, size), of rolls (B, 128, frames) of any length, in which nonzero cells sound.

        Raises ValueError for another shape.
        """
        parts = whole_seconds(roll, self.cvae.genre.weight).split(self.window, dim=2)
        return torch.cat([self._of_window(part) for part in parts], dim=1)

    def _of_window(self, roll: Tensor) -> Tensor:
        genre = self.cvae.genre.weight.mean(0).expand(len(roll), -1)
        encoded = self.cvae.encoder.states(roll, genre)
        mean, _ = self.cvae.encoder.moments(encoded).chunk(2, dim=2)
        condition, notes = self.cvae.plan(mean.flatten(1), genre), roll_to_notes(roll)

        def note_states(rows: Tensor, length: int) -> Tensor:
            own = notes.of(rows, length)
            states = self.cvae.decoder.states(Past.of(own), condition[rows])[:, 1:]
            begins = F.one_hot(own.onset // FRAMES_A_SECOND, encoded.shape[1]) * own.present()[..., None]
            return begins.mT.to(states) @ states / begins.sum(1).clamp_min(1)[..., None]

        of_notes = by_length(notes.count, parts_by_length(notes.count.cpu(), roll.device), note_states)
        return torch.cat([encoded, of_notes], dim=2)


def whole_seconds(roll: Tensor, like: Tensor) -> Tensor:
    """Rolls (B, 128, frames) as cells of 0 and 1, of the dtype and on the device of `like`, up to a whole second.

    Raises ValueError for another shape.
    """
    if roll.dim() != 3 or roll.shape[1] != PITCHES or not roll.numel():
        raise ValueError(f"a roll must be (batch, {PITCHES}, frames), but is {tuple(roll.shape)}")
    return F.pad((roll != 0).to(like), (0, -roll.shape[2] % FRAMES_A_SECOND))
