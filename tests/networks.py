"""Small networks and rolls that several tests of the models share."""

import torch
from torch import Tensor

from models import CVAE, ConvGenerator

N_GENRES = 3


def binary_rolls(batch: int, seq_len: int, share: float = 0.1) -> Tensor:
    return (torch.rand(batch, 128, seq_len) < share).float()


def make_cvae() -> tuple[CVAE, Tensor, Tensor, Tensor]:
    """A CVAE with latents, genres (both of 4 windows) and rolls of 12 frames."""
    cvae = CVAE(N_GENRES, latent=6, hidden=8)
    return cvae, torch.randn(4, 6), torch.tensor([0, 1, 2, 1]), binary_rolls(4, 12)


def of_frames_at_one_level(model: ConvGenerator, level: int) -> None:
    """Only one level takes the generator's inputs of each frame; at the others their weights, the last, are 0."""
    with torch.no_grad():
        for other, layer in enumerate(model.levels):
            if other != level:
                for convolution in (layer.mix, layer.skip):
                    convolution.weight[:, -(16 * model.of_frame >> other) :] = 0
