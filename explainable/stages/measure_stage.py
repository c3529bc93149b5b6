"""Training of MeasureVAE: reconstruction, KL, and dimensions of z that follow attributes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.errors import UserError
from common.options import option
from common.randomness import rng_at
from explainable.stages.stage import VAE, ExplainableOptions, ExplainableStage, Rows
from models.prior import Posterior, standard_normal_kl
from models.study.measure_vae import MeasureVAE, attribute_loss
from training.stage import Position


@dataclass(frozen=True)
class SharedMeasureOptions(ExplainableOptions):
    """Of all models with MeasureVAE's networks."""

    batch_size: int = option(256, "rows in a step", minimum=2, maximum=1_000_000)
    hidden: int = option(512, "width of the recurrent layers", minimum=2, maximum=16_384)
    beta: float = option(0.001, "weight of the KL divergence", minimum=0)
    teacher_forcing: float = option(0.5, "share of the steps in which true tokens are heard", minimum=0, maximum=1)


@dataclass(frozen=True)
class MeasureOptions(SharedMeasureOptions):
    """Published values by default."""

    dropout: float = option(0.5, "between recurrent layers", minimum=0, maximum=0.9)
    relu_logits: bool = option(True, "pass logits through a ReLU, as published")
    gamma: float = option(1.0, "weight of each attribute's loss", minimum=0)
    delta: float = option(10.0, "how steep the attribute's loss is in z", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent < (n := len(self.attribute_names)):
            raise UserError(f"--latent {self.latent} has no dimension for each of {n} attributes; give it {n} or more")


class MeasureStage(ExplainableStage):
    network = MeasureVAE.network
    best_by = {VAE: "val_loss"}
    averaged = (VAE,)
    fixed_options = ExplainableStage.fixed_options | {"relu_logits"}

    def make_models(self) -> dict[str, nn.Module]:
        options, form = self.options, self.measures.form
        model = MeasureVAE(
            form.size, options.latent, options.hidden, beats=4 * form.measures, ticks=len(form.ticks),
            dropout=options.dropout, relu_logits=options.relu_logits,
        )  # fmt: skip
        return {VAE: model}

    def train_step(self, position: Position) -> dict[str, Tensor]:
        model, rows = self.models[VAE], self.batch(position)
        posterior, z = self.sampled(model, rows, position)
        losses = self.losses(model, rows, posterior, z, self.decoded(model, z, rows, position))
        self.update(losses["loss"], VAE)
        return losses

    def sampled(self, model: nn.Module, rows: Rows, position: Position) -> tuple[Posterior, Tensor]:
        """The posterior of a step's rows and a sample of it."""
        posterior = self.encode(model, rows)
        return posterior, posterior.sample(self.noise(len(rows.tokens), position.epoch, position.example))

    def decoded(self, model: nn.Module, z: Tensor, rows: Rows, position: Position) -> Tensor:
        """Logits of a step: one coin for the whole batch decides whether the true tokens are heard."""
        at = rng_at("teacher", self.options.seed, position.epoch, position.example)
        if torch.rand((), generator=at).item() < self.options.teacher_forcing:
            return model.decode(z, rows.tokens)
        return self.play(model, z, rows)[0]

    def play(self, model: nn.Module, z: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
        return model.decode_free(z)

    def losses(
        self, model: nn.Module, rows: Rows, posterior: Posterior, z: Tensor, logits: Tensor
    ) -> dict[str, Tensor]:
        options = self.options
        reconstruction = self.reconstruction(logits, rows)
        kl = standard_normal_kl(posterior).sum(1).mean()
        # Dimension k of z is that of the k-th attribute.
        order = sum(
            attribute_loss(z[:, k], rows.attributes[:, k], options.delta) for k in range(rows.attributes.shape[1])
        )
        loss = reconstruction + options.beta * kl + options.gamma * order
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl, "attribute": order}
