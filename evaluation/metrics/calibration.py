"""How well probabilities of genres are calibrated, and the tempering of likelihoods that calibrates them."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.likelihoods import Tempering

BINS = 10  # of confidence, of equal width


class Reliability(NamedTuple):
    """Predictions by confidence, in the bins that have some: mean confidence, accuracy and number, (bins,) each."""

    confidence: Tensor
    accuracy: Tensor
    count: Tensor

    @property
    def error(self) -> float:
        """Expected calibration error: mean difference of confidence and accuracy over the predictions (Guo 2017)."""
        return float(((self.confidence - self.accuracy).abs() * self.count).sum() / self.count.sum())


def reliability(probability: Tensor, genre: Tensor) -> Reliability:
    """Compare the probability of the likeliest genre, from (n, genres), with how often it is right; `genre` (n,)."""
    confidence, predicted = probability.double().max(1)
    place = (confidence * BINS).long().clamp_max(BINS - 1)
    count, total, right = (
        torch.zeros(BINS, dtype=torch.float64).index_add(0, place, values)
        for values in (torch.ones_like(confidence), confidence, (predicted == genre).double())
    )
    some = count > 0
    return Reliability(total[some] / count[some], right[some] / count[some], count[some])


def cross_entropy(probability: Tensor, genre: Tensor) -> float:
    """Mean -log p(genre) in nats, of probabilities (n, genres)."""
    return float(F.nll_loss(probability.clamp_min(torch.finfo(probability.dtype).tiny).log(), genre))


def songs_of(log_likelihood: Tensor, song: Tensor, tempering: Tempering) -> Tensor:
    """Genre probabilities (songs, genres), by ascending number, from windows (n, genres) of the songs `song` (n,)."""
    return torch.stack([tempering.of_song(log_likelihood[song == each]) for each in song.unique()])


def fit_tempering(log_likelihood: Tensor, song: Tensor, genre: Tensor) -> Tempering:
    """The divisor with the least cross-entropy of windows, then the growth with the least of songs.

    `log_likelihood` (n, genres) of windows, `song` and `genre` (n,). The best of 201 divisors from 0.1 to 1,000 and
    of 41 growths from 0 to 1.
    """
    divisors, growths = torch.logspace(-1, 3, 201).tolist(), torch.linspace(0, 1, 41).tolist()
    log_likelihood = log_likelihood.double()
    divisor = min(divisors, key=lambda each: cross_entropy(Tempering(each).of_windows(log_likelihood), genre))
    of_song = torch.stack([genre[song == each][0] for each in song.unique()])
    fitted = [Tempering(divisor, growth) for growth in growths]
    return min(fitted, key=lambda each: cross_entropy(songs_of(log_likelihood, song, each), of_song))
