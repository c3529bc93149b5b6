"""What stages 2 and 3 share: options, generator and critic, the critic's steps, and what G is told by it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from common.errors import UserError
from common.options import option
from models import ARCHITECTURES, LARGE, PAPER, Posterior, carry_over
from models.losses import critic_loss, straight_through
from training.roll_stage import Draw, RollStage, RollTrainingOptions, build_sized, in_folder_of
from training.stage import COSINE

SOFT, BINARY = FAKES = ("soft", "binary")
SIZE = "of the architecture"
# What preset large says of generator and critic, in both stages.
LARGE_ADVERSARIES = {
    **in_folder_of(LARGE), "architecture": LARGE, "batch_size": 64, "schedule": COSINE, "warm_up": 100,
    "critic_learning_rate": 1e-3, "gan_betas": (0.0, 0.9), "critic_steps": 2, "critic_hears_z": True, "drift": 1e-3,
    "prior_share": 0.5, "balance": "sampler", "transpose": True, "move_windows": True, "ema": 0.999,
}  # fmt: skip


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
    critic_learning_rate: float | None = option(None, "Adam's, for the critic (default: as the generator's)", above=0)
    gan_betas: tuple[float, float] = option((0.5, 0.999), "Adam's, for both", minimum=0, maximum=0.999999)
    prior_share: float = option(
        0.0, "share of the fakes whose z is drawn from the prior, not of the encoder's", minimum=0, maximum=1
    )
    critic_hears_z: bool = option(
        False, "the critic judges pairs of a roll and its z, not rolls alone (architecture large)"
    )
    drift: float = option(0.0, "weight of the mean square of the scores of real windows", minimum=0)
    penalty: float = option(10.0, "weight of the gradient penalty", minimum=0)
    fakes: str = option(SOFT, "what the critic sees: probabilities, or 0 and 1 by straight-through", choices=FAKES)


class CriticBatch(NamedTuple):
    """Real and generated rolls (B, 128, T), both their latents (B, size of z), and the genres int64 (B,) they share."""

    real: Tensor
    fake: Tensor
    z_real: Tensor
    z_fake: Tensor
    genre: Tensor


def build_adversaries(options: AdversarialOptions, cvae: nn.Module, n_genres: int, seq_len: int) -> list[nn.Module]:
    """A new generator for the latents of `cvae`, with the prior of its kind, and a new critic.

    Raises `UserError` where the options do not fit one another, or the CVAE.
    """
    sizes = {
        "n_genres": n_genres, "seq_len": seq_len, "hidden": options.hidden, "genre_size": options.genre_size,
    }  # fmt: skip
    latents = {"latent": cvae.latent, "prior": cvae.config["prior"]}
    generator = build_sized("generator", options.architecture, **sizes, **latents)
    if generator.noise_size(seq_len) != cvae.noise_size(seq_len):
        raise UserError(
            f"a generator of architecture {options.architecture} takes {generator.noise_size(seq_len)} numbers for "
            f"{seq_len} frames, but the CVAE's z has {cvae.noise_size(seq_len)}; give both stages the same --preset"
        )
    heard = {"latent": cvae.latent} if options.critic_hears_z else {}
    return [generator, build_sized("critic", options.architecture, **sizes, **heard)]


def carry(name: str, source: nn.Module, target: nn.Module) -> list[str]:
    """Copy what `source` learned into `target`; returns lines for the log. Raises `UserError` where they do not fit."""
    try:
        how_carried = carry_over(source.cpu(), target)
    except ValueError as error:
        remedy = f"give --hidden {source.config['hidden']} and a T that fits, or move the file away"
        raise UserError(f"{error}; {remedy}") from error
    return [f"{name}.{tensor}: {how}" for tensor, how in how_carried.items()]


def own_parameters(generator: nn.Module) -> list[Tensor]:
    """All parameters but those of the prior, which the CVAE trains."""
    return [parameter for name, parameter in generator.named_parameters() if not name.startswith("prior.")]


def some_from_prior(z: Tensor, genre: Tensor, prior: nn.Module, draw: Draw, share: float) -> Tensor:
    """Latents (B, size of z) of which the first `share` are replaced by some of the prior, as constants."""
    count = round(share * len(z))
    if not count:
        return z
    with torch.no_grad():
        drawn = prior.sample(draw.normal(count, z.shape[1]), genre[:count])
    return torch.cat([drawn, z[count:]])


def critic_batch(
    generator: nn.Module, roll: Tensor, genre: Tensor, posterior: Posterior, draw: Draw, options: AdversarialOptions
) -> CriticBatch:
    """Windows with z ~ q(z | X, y) of their `posterior`, and what G makes of these z (and of its prior's)."""
    z_real = posterior.sample(draw.normal(*posterior.mean.shape))
    z_fake = some_from_prior(z_real, genre, generator.prior, draw, options.prior_share)
    return CriticBatch(roll, fake_roll(generator, z_fake, genre, options.fakes), z_real, z_fake, genre)


def train_critic(
    stage: RollStage, critic_name: str, batches: Iterable[CriticBatch], draw: Draw, options: AdversarialOptions
) -> dict[str, Tensor]:
    """An update of the critic on each of `batches`, which `draw` mixes.

    Returns the last update's loss, Wasserstein estimate and gradient norm.
    """
    critic = stage.models[critic_name]
    for batch in batches:
        mix, latents = draw.uniform(len(batch.genre)), (batch.z_real, batch.z_fake)
        loss, distance, norm = critic_loss(
            critic, batch.real, batch.fake, batch.genre, mix, options.penalty, options.drift, latents
        )
        stage.update(loss, critic_name)
    return {"critic": loss, "wasserstein": distance, "gradient_norm": norm}


def adversarial_loss(critic: nn.Module, fake: Tensor, genre: Tensor, z: Tensor) -> Tensor:
    """L_G = -E[D(fake)] (report, section 2.2.2). Its gradient comes by way of the fakes alone, not by a critic's z."""
    return -critic(fake, genre, z.detach()).float().mean()


class GradientShare:
    """What part of the gradient on z, through which L_G reaches the encoder, is that of L_G.

    By Euclidean norms over a batch, |g_G| / (|g_G| + |g_ELBO|): 0 where L_G is cut off, 1/2 where both pull alike.
    """

    def __init__(self, z: Tensor, z_of_generator: Tensor) -> None:
        """`z` is what the encoder gives, `z_of_generator` made of it, or a constant. Before the backward pass."""
        self._whole = self._of_generator = z.new_zeros(1)
        z.register_hook(self._keep_whole)
        if z_of_generator.requires_grad:
            z_of_generator.register_hook(self._keep_of_generator)

    def _keep_whole(self, gradient: Tensor) -> None:
        self._whole = gradient

    def _keep_of_generator(self, gradient: Tensor) -> None:
        self._of_generator = gradient

    def value(self) -> Tensor:
        """After the backward pass, a scalar."""
        of_generator, of_elbo = self._of_generator.norm(), (self._whole - self._of_generator).norm()
        return of_generator / (of_generator + of_elbo).clamp_min(1e-30)


def fake_roll(generator: nn.Module, z: Tensor, genre: Tensor, fakes: str) -> Tensor:
    """What the critic sees of G(z, y), (B, 128, T); `fakes` is one of `FAKES`."""
    probabilities = generator(z, genre)
    return straight_through(probabilities) if fakes == BINARY else probabilities
