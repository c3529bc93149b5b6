"""Rolls measured by a CVAE of notes: code lengths, genre probabilities and vectors, for torch.hub and evaluations."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import FRAMES_A_SECOND, PITCHES
from .likelihoods import Tempering, score_windows
from .notes.note_cvae import NoteCVAE
from .notes.notes import count_notes

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
    """One vector of `size` numbers for each second of a roll: the last hidden layer of a CVAE's encoder.

    The genre, an input of the encoder, is withheld: its embedding is the mean of all. A second is seen together with
    the others of its window of `window` frames.
    """

    def __init__(self, cvae: NoteCVAE, window: int = 128) -> None:
        super().__init__()
        self.encoder, self.window = cvae.encoder, window
        self.size = cvae.encoder.moments.in_channels
        self.register_buffer("genre", cvae.genre.weight.detach().mean(0, keepdim=True))

    @torch.no_grad()
    def forward(self, roll: Tensor) -> Tensor:
        """Vectors, float32 (B, seconds, size), of rolls (B, 128, frames) of any length, in which nonzero cells sound.

        Raises ValueError for another shape.
        """
        parts = whole_seconds(roll, self.genre).split(self.window, dim=2)
        return torch.cat([self.encoder.states(part, self.genre.expand(len(part), -1)) for part in parts], dim=1)


def whole_seconds(roll: Tensor, like: Tensor) -> Tensor:
    """Rolls (B, 128, frames) as cells of 0 and 1, of the dtype and on the device of `like`, up to a whole second.

    Raises ValueError for another shape.
    """
    if roll.dim() != 3 or roll.shape[1] != PITCHES or not roll.shape[2]:
        raise ValueError(f"a roll must be (batch, {PITCHES}, frames), but is {tuple(roll.shape)}")
    return F.pad((roll != 0).to(like), (0, -roll.shape[2] % FRAMES_A_SECOND))
