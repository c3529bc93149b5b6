"""Validation metrics, which select the best checkpoint: ELBO of a CVAE, distance to real rolls of a generator."""

import torch
from torch import nn

from common.randomness import rng_at
from data.windows import WindowSource
from evaluation.statistics.distances import roll_distance, roll_statistics
from models.losses import elbo_terms
from models.playing import THRESHOLD

_BATCH = 512


@torch.no_grad()
def validate_cvae(cvae: nn.Module, windows: WindowSource, reconstruction: str, beta: float) -> dict[str, float]:
    """Reconstruction, KL and negative ELBO, teacher-forced, with the same noise at every call.

    Each is the mean over genres of the mean over a genre's windows, because training weights genres equally, too.
    """
    rng = rng_at("validation", device=windows.device)
    terms = []
    for index in torch.arange(len(windows)).split(_BATCH):
        shape = len(index), cvae.noise_size(windows.seq_len)
        noise = torch.randn(shape, generator=rng, device=windows.device)
        batch_terms = elbo_terms(cvae, windows.batch(index), noise, reconstruction)
        terms.append(torch.stack([batch_terms.reconstruction, batch_terms.kl.sum(1)], dim=1))
    of_window = torch.cat(terms)  # (n, 2)
    of_genre = torch.stack([of_window[windows.genre == genre].mean(0) for genre in windows.genre.unique()])
    recon, kl = of_genre.mean(0).tolist()
    return {"reconstruction": recon, "kl": kl, "negative_elbo": recon + beta * kl}


@torch.no_grad()
def validate_generator(generator: nn.Module, windows: WindowSource) -> dict[str, float]:
    """Distance of generated to real windows (`distances.roll_distance`), and the share of silent ones.

    Generates as many windows of each genre as the split has, from the generator's prior, with the same noise at every
    call.
    """
    rng = rng_at("validation", device=windows.device)
    generated, real, empty = [], [], torch.zeros((), device=windows.device)
    for index in torch.arange(len(windows)).split(_BATCH):
        shape = len(index), generator.noise_size(windows.seq_len)
        noise = torch.randn(shape, generator=rng, device=windows.device)
        genre = windows.genre[index.to(windows.device)]
        roll = (generator(generator.prior.sample(noise, genre), genre) > THRESHOLD).float()
        empty += (roll.amax((1, 2)) == 0).sum()
        generated.append(roll_statistics(roll))
        real.append(roll_statistics(windows.rolls(index)))
    distance = roll_distance(torch.cat(generated), torch.cat(real), windows.genre, windows.genre)
    return {"roll_distance": distance, "empty_share": float(empty / len(windows))}
