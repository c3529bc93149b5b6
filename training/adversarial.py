"""The WGAN step of stages 2 and 3: generator and critic, and their losses (report, section 2.2.2)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from common.errors import UserError
from models import Generator, Posterior, carry_over, fate_line
from models.losses import critic_loss, straight_through
from training.optimizers import Together, adam
from training.options import BINARY, WganOptions
from training.roll_stage import Draw, build_sized

_OUTLINE_RATE = 2e-3


class Encoded(NamedTuple):
    """Windows and their posteriors: rolls (B, 128, T), genres int64 (B,), q(z | X, y) of size (B, size of z)."""

    roll: Tensor
    genre: Tensor
    posterior: Posterior

    def split(self, sizes: Sequence[int]) -> list["Encoded"]:
        """Parts of `sizes` windows."""
        parts = zip(*(field.split(sizes) for field in (self.roll, self.genre, *self.posterior)), strict=True)
        return [Encoded(roll, genre, Posterior(*moments)) for roll, genre, *moments in parts]


class Adversaries:
    """Generator and critic with the losses of a WGAN-GP. A stage encodes windows and applies the losses."""

    def __init__(self, generator: nn.Module, critic: nn.Module, options: WganOptions) -> None:
        self.generator, self.critic, self.options = generator, critic, options

    @classmethod
    def build(cls, options: WganOptions, cvae: nn.Module, n_genres: int, seq_len: int) -> "Adversaries":
        """A new generator for the latents of `cvae`, with a prior of the same kind, and a new critic.

        Raises `UserError` if the options do not fit each other or the CVAE.
        """
        sizes = {
            "n_genres": n_genres, "seq_len": seq_len, "hidden": options.hidden, "genre_size": options.genre_size,
        }  # fmt: skip
        latents = {"latent": cvae.latent, "prior": cvae.config["prior"]}
        generator = build_sized(
            "generator", options.architecture, **sizes, **latents, noise=options.noise, outline=options.outline
        )
        if generator.noise_size(seq_len) != cvae.noise_size(seq_len):
            raise UserError(
                f"a generator of architecture {options.architecture} takes {generator.noise_size(seq_len)} numbers for "
                f"{seq_len} frames, but the CVAE's z has {cvae.noise_size(seq_len)}; give both stages the same --preset"
            )
        of_pairs = {}
        if options.critic_takes_z:
            of_pairs = {"latent": cvae.latent, "outline": True if generator.config.get("outline") else None}
        critic = build_sized("critic", options.architecture, **sizes, **of_pairs)
        return cls(generator, critic, options)

    def optimizers(self, rate: float) -> tuple[torch.optim.Optimizer | Together, torch.optim.Optimizer]:
        """Adam for the generator, without its prior, which the CVAE trains, and for the critic.

        An outline learns by a likelihood: with Adam's usual betas and a rate of its own.
        """
        named = list(self.generator.named_parameters())
        own = [parameter for name, parameter in named if not name.startswith(("prior.", "outline."))]
        of_outline = [parameter for name, parameter in named if name.startswith("outline.")]
        critic_rate, betas = self.options.critic_learning_rate or rate, self.options.gan_betas
        of_generator = adam(own, rate, betas)
        if of_outline:
            of_generator = Together([of_generator, adam(of_outline, _OUTLINE_RATE)])
        return of_generator, adam(list(self.critic.parameters()), critic_rate, betas)

    def critic_losses(self, real: Encoded, draw: Draw) -> dict[str, Tensor]:
        """The loss "critic" to minimise, the Wasserstein estimate and the gradient norm, scalars.

        Real pairs (X, z ~ q(z | X, y)) against fake pairs (G(z, y), z) of the same z, or of the prior's. If the
        generator has an outline, z comes with it: that of X, or a drawn one with z of the prior.
        """
        roll, genre, posterior = real
        with torch.no_grad():
            z_real = self.generator.with_outline(posterior.sample(draw.normal(posterior.mean.shape[1])), roll)
            z_fake, fake = self._fakes(z_real, genre, draw)
        mix, options = draw.uniform(), self.options
        loss, distance, norm = critic_loss(
            self.critic, roll, fake, genre, mix, options.penalty, options.drift, (z_real, z_fake)
        )
        return {"critic": loss, "wasserstein": distance, "gradient_norm": norm}

    def generator_losses(self, z: Tensor, roll: Tensor, genre: Tensor, draw: Draw) -> dict[str, Tensor]:
        """Losses of the generator to minimise, scalars, for z (B, size of z) of the encoder and its rolls.

        "generator": L_G = -E[D(G(z, y))], whose gradient flows through the fakes only. "outline", if the generator has
        one: -log p(outline | z, y) in nats a frame, without a gradient on z.
        """
        real = self.generator.with_outline(z, roll)
        inputs, fake = self._fakes(real, genre, draw)
        losses = {"generator": -self.critic(fake, genre, inputs.detach()).float().mean()}
        nll = self.generator.outline_nll(real.detach(), genre)
        return losses if nll is None else losses | {"outline": nll.mean() / roll.shape[2]}

    def _fakes(self, inputs: Tensor, genre: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """`inputs`, z with its outline, with samples of the prior in the first rows, and the fakes of G.

        The samples are constants.
        """
        generator, first = self.generator, round(self.options.prior_share * draw.n)
        noise = draw.normal(generator.noise_size(generator.seq_len), first) if first else None
        shape = generator.chance_shape(generator.seq_len)
        uniform = draw.uniform(*shape) if shape else None
        if first:
            of_first = genre[: len(noise)], None if uniform is None else uniform[: len(noise)]
            with torch.no_grad():
                drawn = generator.with_drawn_outline(generator.prior.sample(noise, of_first[0]), *of_first)
            inputs = torch.cat([drawn, inputs[len(noise) :]])
        probabilities = generator.render(inputs, genre, uniform)
        if self.options.fakes != BINARY:
            return inputs, probabilities
        return inputs, straight_through(probabilities, generator.play(probabilities))


def carry(name: str, source: nn.Module, target: nn.Module) -> str:
    """Copy the weights of `source` into `target`; returns a line for the log. Raises `UserError` if they do not fit."""
    try:
        return f"{name}: {fate_line(carry_over(source.cpu(), target))}"
    except ValueError as error:
        remedy = f"give {_options_of(source)} and a T that fits, or other weights, or move the file away"
        raise UserError(f"{error}; {remedy}") from error


def _options_of(model: nn.Module) -> str:
    """The options that build a generator or a critic like `model`."""
    config, of_generator = model.config, model.kind == Generator.kind
    words = [f"--{name} {config[name]}" for name in ("hidden", "noise") if name in config]
    if of_generator and "outline" in config:
        words.append(f"--outline {config['outline']}")
    elif not of_generator and "latent" in config:
        words.append("--critic-takes-z" if config["latent"] else "--no-critic-takes-z")
        if config["latent"] and not config["outline"]:
            words.append("--outline 0")
    return " ".join(words)


class GradientShare:
    """The share of L_G in the gradient on z, through which L_G reaches the encoder.

    |g_G| / (|g_G| + |g_ELBO|) with Euclidean norms over a batch: 0 if L_G is cut off, 1/2 if both are equally strong.
    """

    def __init__(self, z: Tensor, z_of_generator: Tensor, norm: Callable[[Tensor], Tensor]) -> None:
        """`z`: the encoder's. `z_of_generator`: computed from it, or a constant. Call before the backward pass.

        `norm`: as `Stage.gradient_norm`.
        """
        self._norm = norm
        self._whole = self._generator = z.new_zeros(1)
        z.register_hook(partial(setattr, self, "_whole"))
        if z_of_generator.requires_grad:
            z_of_generator.register_hook(partial(setattr, self, "_generator"))

    def value(self) -> Tensor:
        """The share, a scalar. Call after the backward pass."""
        of_generator, of_elbo = self._norm(self._generator), self._norm(self._whole - self._generator)
        return of_generator / (of_generator + of_elbo).clamp_min(1e-30)
