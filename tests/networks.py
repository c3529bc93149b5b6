"""Small networks and rolls that several tests of the models share."""

import torch
from torch import Tensor

from models import CVAE

N_GENRES = 3


def binary_rolls(batch: int, seq_len: int, share: float = 0.1) -> Tensor:
    return (torch.rand(batch, 128, seq_len) < share).float()


def make_cvae() -> tuple[CVAE, Tensor, Tensor, Tensor]:
    """A CVAE with latents, genres (both of 4 windows) and rolls of 12 frames."""
    cvae = CVAE(N_GENRES, latent=6, hidden=8)
    return cvae, torch.randn(4, 6), torch.tensor([0, 1, 2, 1]), binary_rolls(4, 12)
