"""Training of AttributeVAE: attributes are given as dimensions of z, an adversary keeps them out of the others."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import UserError
from common.options import option
from explainable.normal_scores import NormalScores
from explainable.stages.adversarial_stage import ADVERSARY
from explainable.stages.measure_stage import MeasureStage, SharedMeasureOptions
from explainable.stages.stage import VAE, Rows
from models.attribute_vae import AttributeRegressor, AttributeVAE
from models.prior import Posterior, standard_normal_kl
from training.optimizers import adam
from training.stage import Phase, Position


@dataclass(frozen=True)
class AttributeOptions(SharedMeasureOptions):
    """MeasureVAE's, where they are not its attributes'."""

    dropout: float = option(0.0, "between recurrent layers", minimum=0, maximum=0.9)
    adversary_weight: float = option(1.0, "of what the adversary explains of the attributes", minimum=0)
    adversary_rate: float = option(1e-3, "learning rate of the adversary", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent <= (n := len(self.attribute_names)):
            raise UserError(f"--latent {self.latent} leaves nothing beside {n} attributes; give it {n + 1} or more")


class AttributeStage(MeasureStage):
    network = AttributeVAE.network
    best_by = {VAE: "val_loss", ADVERSARY: "val_loss"}
    fixed_options = MeasureStage.fixed_options - {"relu_logits"}

    def open_phase(self, phase: Phase) -> None:
        super().open_phase(phase)
        self.scores = [NormalScores.of(column) for column in self.train_rows.attributes.numpy().T]

    def make_models(self) -> dict[str, nn.Module]:
        options, form = self.options, self.measures.form
        n = len(options.attribute_names)
        model = AttributeVAE(
            form.size, n, options.latent, options.hidden, beats=4 * form.measures, ticks=len(form.ticks),
            dropout=options.dropout,
        )  # fmt: skip
        return {VAE: model, ADVERSARY: AttributeRegressor(options.latent - n, n)}

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        adversary = adam(list(self.models[ADVERSARY].parameters()), self.options.adversary_rate)
        return {**super().make_optimizers(), ADVERSARY: adversary}

    def train_step(self, position: Position) -> dict[str, Tensor]:
        model, adversary, rows = self.models[VAE], self.models[ADVERSARY], self.batch(position)
        posterior, z = self.sampled(model, rows, position)
        scores, others = self._parts(z)
        guess = adversary.loss(others.detach(), scores)
        self.update(guess, ADVERSARY)
        losses = self.losses(model, rows, posterior, z, self.decoded(model, z, rows, position))
        self.update(losses["loss"], VAE)
        return {**losses, "guess": guess}

    def encode(self, model: nn.Module, rows: Rows) -> Posterior:
        columns = zip(self.scores, rows.attributes.cpu().numpy().T, strict=True)
        scores = np.stack([scores(column) for scores, column in columns], axis=1)
        return model.encode(rows.tokens, torch.from_numpy(scores).to(self.device))

    def losses(
        self, model: nn.Module, rows: Rows, posterior: Posterior, z: Tensor, logits: Tensor
    ) -> dict[str, Tensor]:
        options = self.options
        reconstruction = self.reconstruction(logits, rows)
        kl = standard_normal_kl(posterior)[:, len(self.scores) :].sum(1).mean()
        scores, others = self._parts(z)
        explained = self.models[ADVERSARY].explained(others, scores)
        loss = reconstruction + options.beta * kl + options.adversary_weight * explained
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl, "explained": explained}

    def _parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The attributes' scores and the other numbers of z."""
        n = len(self.scores)
        return z[:, :n], z[:, n:]

    def facts(self, phase: Phase) -> dict[str, Any]:
        return {**super().facts(phase), "attribute_scores": [scores.as_plain() for scores in self.scores]}
