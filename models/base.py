"""Base classes and table of the networks, with a default for everything that callers use; constants of piano rolls."""

from inspect import signature
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from .playing import Playing

PITCHES = 128
FRAMES_A_SECOND = 16  # of models with latents for every second
MINIMUM_RATE = 1e-4  # of a pitch, for output biases: silent pitches stay possible
SLOPE = 0.2  # of the critics' LeakyReLU


class Model(nn.Module):
    """A network that a weights file can name: a subclass with `kind` and `network` enters `NETWORKS`.

    `config`: the arguments of the constructor.

    `any_length`: one model for windows of any T; z has `latent` numbers for every second instead of for the window.
    `plays_by`: fields of `Playing` that change what the decoder plays, besides the threshold.
    `grown_tensors`: names of tensors whose shape depends on T; `grow_from` computes them.
    `predicts_cells`: `decode` returns logits of cells, and `squared_error` is defined.
    """

    kind: ClassVar[str]
    network: ClassVar[str]
    any_length: ClassVar[bool] = False
    plays_by: tuple[str, ...] = ()
    grown_tensors: ClassVar[tuple[str, ...]] = ()
    predicts_cells: ClassVar[bool] = False
    config: dict[str, Any]
    latent: int

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "network" in vars(cls) and NETWORKS.setdefault((cls.kind, cls.network), cls) is not cls:
            raise TypeError(f"{cls.__name__}: there is a {cls.kind} {cls.network} already")

    def __new__(cls, *values: Any, **named: Any) -> "Model":
        model = super().__new__(cls)
        bound = signature(cls).bind_partial(*values, **named)  # a deep copy is made without arguments
        bound.apply_defaults()
        model.config = bound.arguments
        return model

    def noise_size(self, seq_len: int) -> int:
        """Numbers in z for a window of `seq_len` frames."""
        return self.latent * (seq_len // FRAMES_A_SECOND if self.any_length else 1)

    def grow_from(self, shorter: "Model") -> None:
        """Compute `grown_tensors` from those of a model for T / k frames."""


NETWORKS: dict[tuple[str, str], type[Model]] = {}  # by kind and network


class Decoded(NamedTuple):
    """Result of free-running decoding: `probability` of each cell, float32, and `roll`, bool; both (B, 128, T).

    For a note decoder the probability is 0 or 1.
    """

    probability: Tensor
    roll: Tensor


class RollGenerator(Model):
    """G(z, y). A subclass defines `logits(inputs, genre, uniform=None)`, (B, 128, T), and its last layer `roll`.

    `inputs`: z, with an outline of each frame if the network has one.
    `uniform`: random numbers in [0, 1) (B, *chance_shape), if the network has noise or an outline beside z.
    """

    kind = "generator"

    @torch.no_grad()
    def start_at(self, pitch_rate: Tensor) -> None:
        """Set the output bias so that each pitch sounds in its share of frames, `pitch_rate` (128,)."""
        bias = self.roll.bias
        bias.copy_(torch.logit(pitch_rate, eps=MINIMUM_RATE).repeat(len(bias) // PITCHES))

    def forward(self, z: Tensor, genre: Tensor, uniform: Tensor | None = None) -> Tensor:
        """Probabilities (B, 128, T) that a cell sounds, for `z` (B, size of z) and `genre` int64 (B,).

        `uniform`: random numbers in [0, 1) of the shape (B, *chance_shape); drawn if None.
        """
        return self.render(self.with_drawn_outline(z, genre, uniform), genre, uniform)

    def render(self, inputs: Tensor, genre: Tensor, uniform: Tensor | None = None) -> Tensor:
        """Probabilities as from `forward`, of what `with_outline` or `with_drawn_outline` returned."""
        return torch.sigmoid(self.logits(inputs, genre, uniform))

    def with_outline(self, z: Tensor, roll: Tensor) -> Tensor:
        """`z` together with the outline of real rolls (B, 128, T); z itself if the network has no outline."""
        return z

    def with_drawn_outline(self, z: Tensor, genre: Tensor, uniform: Tensor | None = None) -> Tensor:
        """`z` together with an outline drawn by `uniform`; z itself if the network has no outline."""
        return z

    def outline_nll(self, inputs: Tensor, genre: Tensor) -> Tensor | None:
        """-log p(outline | z, y) in nats, (B,), of z with its outline; None if the network has no outline."""

    def chance_shape(self, seq_len: int, playing: Playing = Playing()) -> tuple[int, int] | None:
        """Shape of the uniform numbers that draw one window, None if it has neither noise nor an outline."""

    @torch.no_grad()
    def decode_free(
        self, z: Tensor, genre: Tensor, seq_len: int, uniform: Tensor | None = None, playing: Playing = Playing()
    ) -> Decoded:
        """Probabilities and thresholded rolls; the arguments are those of a CVAE's decoder."""
        probability = self(z, genre, uniform)
        return Decoded(probability, self.play(probability, playing))

    def play(self, probability: Tensor, playing: Playing = Playing()) -> Tensor:
        """Rolls, bool (B, 128, T), from the probabilities of their cells."""
        return probability > playing.threshold


class StudyVAE(Model):
    """A model of melodies as tokens, in the study of explainable latents.

    `controls_in_latent`: attribute k is dimension k of z; otherwise the decoder takes the attributes as an input.
    `encodes_scores`: the encoder takes the attributes' normal scores too.
    """

    kind = "explainable"
    controls_in_latent: ClassVar[bool] = True
    encodes_scores: ClassVar[bool] = False


class RollCritic(Model):
    """D(X, y, z). A subclass defines `forward(roll, genre, z=None)`, scores (B,), and may ignore z."""

    kind = "critic"

    def scores_and_gradient_norm(
        self, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor, latents: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scores (B,) of real and fake rolls (B, 128, T), and the norm (B,) of the score's gradient between them.

        The gradient is with respect to the roll, at mix * real + (1 - mix) * fake, `mix` (B,). `latents`: z of the real
        and of the fake rolls, (B, size of z) each, mixed like the rolls.
        """
        mixed = torch.lerp(fake, real, mix[:, None, None].to(real.dtype)).requires_grad_()
        z = z_mixed = None
        if latents is not None:
            z_real, z_fake = latents
            z, z_mixed = torch.cat(latents), torch.lerp(z_fake, z_real, mix[:, None].to(z_real.dtype))
        score_real, score_fake = self(torch.cat([real, fake]), genre.repeat(2), z).chunk(2)
        # In a pass of its own, so that the double backward runs over the mixed rolls only.
        (gradient,) = torch.autograd.grad(self(mixed, genre, z_mixed).sum(), mixed, create_graph=True)
        return score_real, score_fake, root(gradient.float().square().sum((1, 2)))


def times_slope(gradient: Tensor, before: Tensor) -> Tensor:
    """`gradient` times the slope of the critics' LeakyReLU at `before`."""
    return torch.ops.aten.leaky_relu_backward(gradient, before.to(gradient.dtype), SLOPE, False)


def root(squared: Tensor) -> Tensor:
    """The square root, with a gradient of 0 at 0, where it has no derivative, instead of NaN."""
    return squared.clamp_min(1e-20).sqrt()
