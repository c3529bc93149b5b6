"""What decides the best checkpoint: validation ELBO for the CVAE, a distance to real rolls for the generator."""

from collections.abc import Callable

import torch
from torch import Tensor

from common.randomness import generator_at
from data.windows import WindowSource
from evaluation.statistics.roll_distance import roll_distance, roll_statistics
from models import CVAE, Generator
from models.cvae import THRESHOLD
from models.losses import elbo_terms

_BATCH = 512


@torch.no_grad()
def validate_cvae(
    cvae: CVAE, windows: WindowSource, reconstruction: Callable[[Tensor, Tensor], Tensor], beta: float
) -> dict[str, float]:
    """Mean over all windows of the stage's loss terms, teacher-forced: reconstruction, KL, and negative ELBO.

    The noise of z is the same at every call.
    """
    noise_at = generator_at("validation", device=windows.device)
    sums = torch.zeros(2, device=windows.device)
    for index in torch.arange(len(windows)).split(_BATCH):
        batch = windows.batch(index)
        noise = torch.randn(len(index), cvae.latent, generator=noise_at, device=windows.device)
        terms = elbo_terms(cvae, batch, noise, reconstruction)
        sums += torch.stack([terms.reconstruction.sum(), terms.kl.sum()])
    recon, kl = (sums / len(windows)).tolist()
    return {"reconstruction": recon, "kl": kl, "negative_elbo": recon + beta * kl}


@torch.no_grad()
def validate_generator(generator: Generator, windows: WindowSource) -> dict[str, float]:
    """Distance of generated to real windows (`evaluation.roll_distance`), and the share of generated empty ones.

    As many windows as the split has, of the same genres, from z ~ N(0, I); the same z at every call.
    """
    noise_at = generator_at("validation", device=windows.device)
    generated, real, empty = [], [], torch.zeros((), device=windows.device)
    for index in torch.arange(len(windows)).split(_BATCH):
        z = torch.randn(len(index), generator.latent, generator=noise_at, device=windows.device)
        roll = (generator(z, windows.genre[index.to(windows.device)]) > THRESHOLD).float()
        empty += (roll.amax((1, 2)) == 0).sum()
        generated.append(roll_statistics(roll))
        real.append(roll_statistics(windows.rolls(index)))
    distance = roll_distance(torch.cat(generated), torch.cat(real), windows.genre, windows.genre)
    return {"roll_distance": distance, "empty_share": float(empty / len(windows))}
