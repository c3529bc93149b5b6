"""What stages 2 and 3 share: the critic's steps, and what G is told by it."""

from collections.abc import Callable

import torch
from torch import Tensor

from data.windows import Batch
from models import Critic, Generator
from models.losses import critic_loss, straight_through
from training.stage import Draw

BETAS = (0.5, 0.999)
FAKES = ("soft", "binary")


def train_critic(
    critic: Critic,
    optimizer: torch.optim.Optimizer,
    draw: Draw,
    make_fake: Callable[[Batch], Tensor],
    *,
    steps: int,
    penalty: float,
) -> dict[str, Tensor]:
    """`steps` updates of the critic, each on windows of its own; `make_fake` maps a batch to rolls (B, 128, T).

    Returns the last update's loss, Wasserstein estimate and gradient norm.
    """
    for stream in range(1, steps + 1):
        batch = draw.batch(stream)
        with torch.no_grad():
            fake = make_fake(batch)
        mix = draw.uniform(len(fake))
        loss, distance, norm = critic_loss(critic, batch.roll, fake, batch.genre, mix, penalty)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return {"critic": loss, "wasserstein": distance, "gradient_norm": norm}


def adversarial_loss(critic: Critic, fake: Tensor, genre: Tensor) -> Tensor:
    """L_G = -E[D(fake)]; gradients reach `fake`, and the critic's weights are left alone."""
    critic.requires_grad_(False)
    loss = -critic(fake, genre).float().mean()
    critic.requires_grad_(True)
    return loss


def fake_roll(generator: Generator, z: Tensor, genre: Tensor, fakes: str) -> Tensor:
    """What the critic sees of G(z, y), (B, 128, T); `fakes` is one of `FAKES`."""
    probabilities = generator(z, genre)
    return straight_through(probabilities) if fakes == "binary" else probabilities
