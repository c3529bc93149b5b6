"""Training of MeasureVAE: reconstruction, KL, and dimensions of z that follow attributes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.options import option
from common.randomness import generator_at
from explainable.stage import VAE, ExplainableOptions, ExplainableStage, Rows
from models.measure_vae import MeasureVAE, attribute_loss
from models.prior import Posterior, standard_normal_kl
from training.stage import Phase, Position


@dataclass(frozen=True)
class MeasureOptions(ExplainableOptions):
    """Published values by default."""

    batch_size: int = option(256, "rows in a step", minimum=2, maximum=1_000_000)
    hidden: int = option(512, "width of the recurrent layers", minimum=2, maximum=16_384)
    dropout: float = option(0.5, "between recurrent layers", minimum=0, maximum=0.9)
    relu_logits: bool = option(True, "pass logits through a ReLU, as published")
    beta: float = option(0.001, "weight of the KL divergence", minimum=0)
    gamma: float = option(1.0, "weight of each attribute's loss", minimum=0)
    delta: float = option(10.0, "how steep the attribute's loss is in z", above=0)
    teacher_forcing: float = option(0.5, "share of the steps in which true tokens are heard", minimum=0, maximum=1)


class MeasureStage(ExplainableStage):
    network = MeasureVAE.network
    best_by = {VAE: "val_loss"}
    averaged = (VAE,)
    fixed_options = ExplainableStage.fixed_options | {"relu_logits"}

    def build_models(self, phase: Phase) -> list[str]:
        self.seed_weights()
        options, form = self.options, self.measures.form
        model = MeasureVAE(
            form.size, options.latent, options.hidden, beats=4 * form.measures, ticks=len(form.ticks),
            dropout=options.dropout, relu_logits=options.relu_logits,
        )  # fmt: skip
        self.models = {VAE: model.to(self.device)}
        return [
            f"{sum(p.numel() for p in model.parameters()):,} parameters",
            "best by: validation loss, running freely",
        ]

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {VAE: self.adam(self.models[VAE])}

    def train_step(self, position: Position) -> dict[str, Tensor]:
        options, model, rows = self.options, self.models[VAE], self.batch(position)
        place = position.epoch, position.example
        posterior = model.encode(rows.tokens)
        z = posterior.sample(self.noise(len(rows.tokens), *place))
        # One coin for the whole batch.
        coin = torch.rand((), generator=generator_at("teacher", options.seed, *place)).item()
        logits = model.decode(z, rows.tokens) if coin < options.teacher_forcing else self.play(model, z, rows)[0]
        losses = self.losses(model, rows, posterior, z, logits)
        self.update(losses["loss"], VAE)
        return losses

    def play(self, model: nn.Module, z: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
        return model.decode_free(z)

    def losses(
        self, model: nn.Module, rows: Rows, posterior: Posterior, z: Tensor, logits: Tensor
    ) -> dict[str, Tensor]:
        options = self.options
        reconstruction = F.cross_entropy(logits.flatten(0, 1), rows.tokens.flatten())
        kl = standard_normal_kl(posterior).sum(1).mean()
        # Dimension k of z is that of the k-th attribute.
        order = sum(
            attribute_loss(z[:, k], rows.attributes[:, k], options.delta) for k in range(rows.attributes.shape[1])
        )
        loss = reconstruction + options.beta * kl + options.gamma * order
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl, "attribute": order}
