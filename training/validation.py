"""Validation metrics, which select the best checkpoint: ELBO of a CVAE, distance to real rolls of a generator."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from common.randomness import rng_at
from data.windows import WindowSource
from evaluation.statistics.distances import roll_distance, roll_statistics
from models.losses import elbo_terms
from training.ranks import Part, Ranks

_BATCH = 512


def _batches(windows: WindowSource, noise_size: int, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
    """Indices and noise of the rows `part` of all windows, batch by batch; the noise is the same at every call."""
    rng, sizes = rng_at("validation", device=windows.device), [len(i) for i in torch.arange(len(windows)).split(_BATCH)]
    noise = torch.cat([torch.randn(size, noise_size, generator=rng, device=windows.device) for size in sizes])
    index = torch.arange(len(windows))[part.rows]
    yield from zip(index.split(_BATCH), noise[part.rows].split(_BATCH), strict=True)


@torch.no_grad()
def validate_cvae(
    cvae: nn.Module, windows: WindowSource, reconstruction: str, beta: float, ranks: Ranks = Ranks()
) -> dict[str, float]:
    """Reconstruction, KL and negative ELBO, teacher-forced, with the same noise at every call.

    Each is the mean over genres of the mean over a genre's windows, because training weights genres equally, too.
    """
    part, terms = ranks.part(len(windows)), []
    for index, noise in _batches(windows, cvae.noise_size(windows.seq_len), part):
        batch_terms = elbo_terms(cvae, windows.batch(index), noise, reconstruction)
        terms.append(torch.stack([batch_terms.reconstruction, batch_terms.kl.sum(1)], dim=1))
    of_window = ranks.gather(torch.cat(terms), part)  # (n, 2)
    of_genre = torch.stack([of_window[windows.genre == genre].mean(0) for genre in windows.genre.unique()])
    recon, kl = of_genre.mean(0).tolist()
    return {"reconstruction": recon, "kl": kl, "negative_elbo": recon + beta * kl}


@torch.no_grad()
def validate_generator(generator: nn.Module, windows: WindowSource, ranks: Ranks = Ranks()) -> dict[str, float]:
    """Distance of generated to real windows (`distances.roll_distance`), and the share of silent ones.

    Generates as many windows of each genre as the split has, from the generator's prior, with the same noise at every
    call.
    """
    part, rows, rng = ranks.part(len(windows)), [], rng_at("validation", "uniform", device=windows.device)
    shape, uniform = generator.chance_shape(windows.seq_len), None
    if shape:
        uniform = torch.rand(len(windows), *shape, generator=rng, device=windows.device)
    for index, noise in _batches(windows, generator.noise_size(windows.seq_len), part):
        place = index.to(windows.device)
        genre = windows.genre[place]
        z = generator.prior.sample(noise, genre)
        roll = generator.play(generator(z, genre, None if uniform is None else uniform[place])).float()
        rows.append((roll_statistics(roll), roll_statistics(windows.rolls(index)), (roll.amax((1, 2)) == 0).float()))
    generated, real, empty = (ranks.gather(torch.cat(column), part) for column in zip(*rows, strict=True))
    distance = roll_distance(generated, real, windows.genre, windows.genre)
    return {"roll_distance": distance, "empty_share": float(empty.mean())}
