"""Training of AttributeVAE: attributes are given as dimensions of z, kept out of the others, and to be obeyed.

An adversary and the distance correlation keep them out of the other dimensions. Because a decoder that has seen each
measure with its own attributes alone need not do what others ask of it, it is asked: a reader, which learns to tell the
attributes of what is played, leads gradients from what was asked to the decoder.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import UserError
from common.options import option
from common.randomness import rng_at
from explainable.attributes import attributes
from explainable.normal_scores import NormalScores, scores_of
from explainable.stages.adversarial_stage import ADVERSARY
from explainable.stages.measure_stage import MeasureStage, SharedMeasureOptions
from explainable.stages.stage import VAE, Rows
from models.prior import Posterior, standard_normal_kl
from models.study.attribute_vae import (
    AttributeReader,
    AttributeRegressor,
    AttributeVAE,
    distance_correlation,
    played_tokens,
)
from training.optimizers import adam
from training.stage import Phase, Position

READER = "reader"


@dataclass(frozen=True)
class AttributeOptions(SharedMeasureOptions):
    """MeasureVAE's, where they are not its attributes'."""

    dropout: float = option(0.0, "between recurrent layers", minimum=0, maximum=0.9)
    adversary_weight: float = option(0.2, "of what the adversary explains of the attributes", minimum=0)
    adversary_steps: int = option(2, "of the adversary for each of the model", minimum=1, maximum=100)
    adversary_rate: float = option(2e-3, "learning rate of the adversary and of the reader", above=0)
    dependence_weight: float = option(
        2.0, "of the distance correlation of the attributes with the other numbers of z", minimum=0
    )
    control_weight: float = option(0.1, "of how far what is played is from attributes asked for, as read", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent <= (n := len(self.attribute_names)):
            raise UserError(f"--latent {self.latent} leaves nothing beside {n} attributes; give it {n + 1} or more")


class AttributeStage(MeasureStage):
    network = AttributeVAE.network
    best_by = dict.fromkeys((VAE, ADVERSARY, READER), "val_loss_without_adversary")
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
        adversary, reader = AttributeRegressor(options.latent - n, n), AttributeReader(form.size, n)
        return {VAE: model, ADVERSARY: adversary, READER: reader}

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        rate = self.options.adversary_rate
        helpers = {name: adam(list(self.models[name].parameters()), rate) for name in (ADVERSARY, READER)}
        return {VAE: self.adam(self.models[VAE]), **helpers}

    def train_step(self, position: Position) -> dict[str, Tensor]:
        """The loss of a step is that of `losses`, which validation has too, and the controls' beside."""
        model, adversary, rows = self.models[VAE], self.models[ADVERSARY], self.batch(position)
        posterior, z = self.sampled(model, rows, position)
        scores, _ = self._parts(z)
        for step in range(self.options.adversary_steps):
            noise = self.noise(len(z), "adversary", position.epoch, position.example, step)
            guess = adversary.loss(self._parts(posterior.detach().sample(noise))[1], scores)
            self.update(guess, ADVERSARY)
        losses = {**self.losses(model, rows, posterior, z, self.decoded(model, z, rows, position)), "guess": guess}
        if self.options.control_weight:
            losses |= self._control(model, z, position)
            losses["loss"] = losses["loss"] + self.options.control_weight * losses["control"]
        self.update(losses["loss"], VAE)
        return losses

    def _control(self, model: nn.Module, z: Tensor, position: Position) -> dict[str, Tensor]:
        """Half of the rows played with attributes of others, each of another row: how far they are from these.

        As the reader sees it, "control", which leads gradients to the decoder, and in truth, "missed"; mean squares.
        """
        half = max(len(z) // 2, 1)
        scores, others = self._parts(z[:half])
        at = rng_at("control", self.options.seed, position.epoch, position.example)
        asked = torch.stack([column[torch.randperm(half, generator=at)] for column in scores.t()], dim=1)
        logits, tokens = model.decode_free(torch.cat([asked, others], dim=1))
        reader, played = self.models[READER], played_tokens(logits, tokens)
        values = attributes(tokens.cpu().numpy(), self.measures.form)
        reached = scores_of(self.scores, values[:, self.options.attribute_columns])
        reached = torch.from_numpy(reached).to(self.device)
        read = F.mse_loss(reader(played.detach()), reached)
        self.update(read, READER)
        control = F.mse_loss(reader(played), asked)
        return {"control": control, "missed": F.mse_loss(reached, asked), "read": read}

    def encode(self, model: nn.Module, rows: Rows) -> Posterior:
        scores = scores_of(self.scores, rows.attributes.cpu().numpy())
        return model.encode(rows.tokens, torch.from_numpy(scores).to(self.device))

    def losses(
        self, model: nn.Module, rows: Rows, posterior: Posterior, z: Tensor, logits: Tensor
    ) -> dict[str, Tensor]:
        options = self.options
        reconstruction = self.reconstruction(logits, rows)
        kl = standard_normal_kl(posterior)[:, len(self.scores) :].sum(1).mean()
        scores, others = self._parts(z)
        explained = self.models[ADVERSARY].explained(others, scores)
        dependence = distance_correlation(others, scores)
        own = reconstruction + options.beta * kl + options.dependence_weight * dependence
        parts = {"reconstruction": reconstruction, "kl": kl, "explained": explained, "dependence": dependence}
        return {"loss": own + options.adversary_weight * explained, "loss_without_adversary": own, **parts}

    def _parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The attributes' scores and the other numbers of z."""
        n = len(self.scores)
        return z[:, :n], z[:, n:]

    def facts(self, phase: Phase) -> dict[str, Any]:
        return {**super().facts(phase), "attribute_scores": [scores.as_plain() for scores in self.scores]}
