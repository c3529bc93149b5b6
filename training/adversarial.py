"""What stages 2 and 3 share: options, generator and critic, the critic's steps, and what G is told by it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from common.options import option
from models import ARCHITECTURES, PAPER, build
from models.losses import critic_loss, straight_through
from training.roll_stage import RollStage, RollTrainingOptions

GAN_BETAS = (0.5, 0.999)
SOFT, BINARY = FAKES = ("soft", "binary")
SIZE = "of the architecture"


@dataclass(frozen=True)
class AdversarialOptions(RollTrainingOptions):
    """Options of generator and critic."""

    architecture: str = option(
        PAPER, "named sizes of generator and critic", choices=tuple(ARCHITECTURES["generator"])
    )
    hidden: int | None = option(
        None, f"width of generator and critic (default: {SIZE})", minimum=2, maximum=16_384
    )
    genre_size: int | None = option(
        None, f"numbers that embed a genre in generator and critic (default: {SIZE})", minimum=1, maximum=4096
    )
    critic_steps: int = option(5, "critic updates for each of the generator's", minimum=1, maximum=1000)
    penalty: float = option(10.0, "weight of the gradient penalty", minimum=0)
    fakes: str = option(SOFT, "what the critic sees: probabilities, or 0 and 1 by straight-through", choices=FAKES)


class CriticBatch(NamedTuple):
    """Real and generated rolls (B, 128, T), their genres int64 (B,), and where to mix them, (B,) in [0, 1)."""

    real: Tensor
    fake: Tensor
    genre: Tensor
    mix: Tensor


def build_adversaries(options: AdversarialOptions, cvae: nn.Module, n_genres: int, seq_len: int) -> list[nn.Module]:
    """A new generator for the latents of `cvae`, with the prior of its kind, and a new critic."""
    sizes = {
        "n_genres": n_genres, "seq_len": seq_len, "hidden": options.hidden, "genre_size": options.genre_size,
    }  # fmt: skip
    latents = {"latent": cvae.latent, "prior": cvae.config["prior"]}
    generator = build("generator", options.architecture, **sizes, **latents)
    return [generator, build("critic", options.architecture, **sizes)]


def own_parameters(generator: nn.Module) -> list[Tensor]:
    """All parameters but those of the prior, which the CVAE trains."""
    return [parameter for name, parameter in generator.named_parameters() if not name.startswith("prior.")]


def train_critic(
    stage: RollStage, critic_name: str, batches: Iterable[CriticBatch], penalty: float
) -> dict[str, Tensor]:
    """An update of the critic on each of `batches`.

    Returns the last update's loss, Wasserstein estimate and gradient norm.
    """
    critic = stage.models[critic_name]
    for batch in batches:
        loss, distance, norm = critic_loss(critic, batch.real, batch.fake, batch.genre, batch.mix, penalty)
        stage.update(loss, critic_name)
    return {"critic": loss, "wasserstein": distance, "gradient_norm": norm}


def adversarial_loss(critic: nn.Module, fake: Tensor, genre: Tensor) -> Tensor:
    """L_G = -E[D(fake)] (report, section 2.2.2)."""
    return -critic(fake, genre).float().mean()


def fake_roll(generator: nn.Module, z: Tensor, genre: Tensor, fakes: str) -> Tensor:
    """What the critic sees of G(z, y), (B, 128, T); `fakes` is one of `FAKES`."""
    probabilities = generator(z, genre)
    return straight_through(probabilities) if fakes == BINARY else probabilities
