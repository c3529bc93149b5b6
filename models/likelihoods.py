"""Likelihood of music under a CVAE, with z integrated out by importance sampling from the posterior.

-log p(X | y) of windows is a code length: divided by log 2, the bits that the model needs for them, z included.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .base import FRAMES_A_SECOND
from .notes.notes import Notes, roll_to_notes
from .prior import Posterior, gaussian_log_density


class Tempering(NamedTuple):
    """How log-likelihoods become probabilities: divided by `divisor`, those of n windows also by n ** `growth`.

    Equal prior probabilities. Likelihoods alone are overconfident: the model is not the music's, and the windows of a
    song are alike, so that their evidence does not add up.
    """

    divisor: float = 1.0
    growth: float = 0.0

    def of_windows(self, log_likelihood: Tensor) -> Tensor:
        """Genre probabilities of windows, of the shape of `log_likelihood` (n, genres), in nats."""
        return (log_likelihood / self.divisor).softmax(1)

    def of_song(self, log_likelihood: Tensor) -> Tensor:
        """Genre probabilities (genres,) of a song, from those of its windows, (n, genres), in nats."""
        return self.of_windows(self.evidence(log_likelihood)[None])[0]

    def evidence(self, log_likelihood: Tensor) -> Tensor:
        """The log-likelihoods (genres,) of a song, as those of one window."""
        return log_likelihood.sum(0) / len(log_likelihood) ** self.growth


class WindowScore(NamedTuple):
    """Code length in nats of B windows, float64, on the CPU.

    `seconds` (B, T / 16): of each second; the sum is that of the window. `notes` (B, N, 3): of the wait, the pitch and
    the duration of the notes in `found`, given z: the mean over the posterior.
    """

    seconds: Tensor
    notes: Tensor
    found: Notes


def log_weights(cvae: nn.Module, posterior: Posterior, genre: Tensor, roll: Tensor, noise: Iterable[Tensor]) -> Tensor:
    """log p(X | z) p(z) / q(z) in nats, (samples, B), at z = `posterior.sample(noise)` for each (B, size of z).

    The logarithm of their mean is a lower bound on log p(X), tighter with more samples (Burda et al. 2016).
    """
    weights = []
    for each in noise:
        z = posterior.sample(each.to(posterior.mean))
        likelihood = -cvae.nll(z, genre, roll)
        weights.append(likelihood + cvae.prior.log_density(z, genre) - posterior.log_density(z))
    return torch.stack(weights)


def log_mean(weights: Tensor) -> Tensor:
    """Logarithm of the mean over the first dimension, from logarithms."""
    return weights.logsumexp(0) - math.log(len(weights))


@torch.no_grad()
def genre_log_likelihoods(cvae: nn.Module, noise: Tensor, roll: Tensor, events: Tensor, event_window: Tensor) -> Tensor:
    """log p(X | y) in nats under every genre y, float64 (B, genres) on the CPU, of windows as in `data.windows.Batch`.

    `noise` (samples, B, size of z) is the same for every genre, so that its effect on differences is small.
    """
    columns = []
    for genre_id in range(cvae.config["n_genres"]):
        genre = torch.full((len(roll),), genre_id, device=roll.device)
        posterior = cvae.encode(roll, events, event_window, genre)
        columns.append(log_mean(log_weights(cvae, posterior, genre, roll, noise).double()))
    return torch.stack(columns, dim=1).cpu()


def encode_as(cvae: nn.Module, roll: Tensor, genre_id: int) -> Posterior:
    """The posterior of windows, float32 (B, 128, T), under a genre, of a CVAE of notes, which needs no events."""
    genre = torch.full((len(roll),), genre_id, device=roll.device)
    return cvae.encode(roll, roll.new_zeros(0, 3), genre[:0], genre)


@torch.no_grad()
def score_windows(cvae: nn.Module, roll: Tensor, genre_id: int, noise: Tensor) -> WindowScore:
    """Code lengths by second and by note of windows, float32 (B, 128, T), under a genre, by a CVAE of notes.

    `noise` (samples, B, size of z). A second has the choices of the notes that begin in it and the excess of its
    latents, log q - log p; the last one also that no more notes begin. Cumulative importance weights make the sum over
    seconds that of `genre_log_likelihoods`.
    """
    genre = torch.full((len(roll),), genre_id, device=roll.device)
    posterior = encode_as(cvae, roll, genre_id)
    found, n_seconds = roll_to_notes(roll), roll.shape[2] // FRAMES_A_SECOND
    # The choices of note k come in its second, those after the last note in the last second.
    second = torch.nn.functional.pad(found.onset // FRAMES_A_SECOND, (0, 1), value=n_seconds - 1)
    second = second.where(torch.arange(second.shape[1], device=roll.device) < found.count[:, None], n_seconds - 1)
    weights, choices = [], []
    for each in noise:
        z = posterior.sample(each.to(posterior.mean))
        choices.append(cvae.choice_nll(z, genre, roll).double())
        excess = gaussian_log_density(z, *posterior) - gaussian_log_density(z, *cvae.prior.moments_given(z, genre))
        excess = excess.double().unflatten(1, (n_seconds, -1)).sum(2)
        weights.append(-excess.scatter_add(1, second, choices[-1].sum(2)))
    cumulative = torch.stack(weights).cumsum(2)  # (samples, B, seconds)
    seconds = -log_mean(cumulative).diff(dim=1, prepend=cumulative.new_zeros(len(roll), 1))
    share = cumulative[:, :, -1].softmax(0)[..., None, None]
    notes = (share * torch.stack(choices)).sum(0)[:, :-1].where(found.present()[..., None], 0.0)
    return WindowScore(seconds.cpu(), notes.cpu(), Notes(*(field.cpu() for field in found)))
