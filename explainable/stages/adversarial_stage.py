"""Training of AdversarialVAE: a classifier learns attributes from z, the model to tell it nothing."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.options import option
from common.randomness import rng_at
from explainable.stages.stage import EPOCH_ROWS, VAE, ExplainableOptions, ExplainableStage, Rows
from models.prior import Posterior, standard_normal_kl
from models.study.adversarial_vae import AdversarialVAE, AttributeClassifier, probability_of_truth
from training.stage import Phase, Position

ADVERSARY = "adversary"
MEAN, SUM = KLS = ("mean", "sum")


@dataclass(frozen=True)
class AdversarialOptions(ExplainableOptions):
    """Published values by default: 50,000 steps of 64 rows, validated every thousand."""

    batch_size: int = option(64, "rows in a step", minimum=2, maximum=1_000_000)
    epochs: int = option(50, "passes over --epoch-rows of the training rows", minimum=1)
    epoch_rows: int | None = option(64_000, EPOCH_ROWS, minimum=2)
    latent: int = option(128, "numbers of z", minimum=1, maximum=4096)
    hidden: int = option(1024, "width of the recurrent layers", minimum=2, maximum=16_384)
    clip_norm: float = option(1.0, "longest gradient of a model; longer ones are shortened to it; 0 never", minimum=0)
    kl_weight: float = option(0.1, "of the KL divergence", minimum=0)
    kl_over: str = option(
        MEAN, "mean of the KL over the numbers of z, as published, so that its weight depends on their count, or sum",
        choices=KLS,
    )  # fmt: skip
    adversary_weight: float = option(0.1, "of misleading the classifier", minimum=0)
    classes: int = option(8, "equally frequent classes of an attribute, where its values tell so many", minimum=2)
    sampling_k: float = option(1000.0, "how slowly scheduled sampling stops telling true tokens, in steps", above=0)


class AdversarialStage(ExplainableStage):
    network = AdversarialVAE.network
    # The adversary is another in every epoch, and the loss with it.
    best_by = dict.fromkeys((VAE, ADVERSARY), "val_loss_without_adversary")
    averaged = (VAE,)
    fixed_options = ExplainableStage.fixed_options | {"classes"}

    def open_phase(self, phase: Phase) -> None:
        super().open_phase(phase)
        attributes = self.train_rows.attributes.double()
        self.mean, self.deviation = attributes.mean(0).float(), attributes.std(0).clamp_min(1e-6).float()
        inner = np.linspace(0, 1, self.options.classes + 1)[1:-1]
        # Attributes take few values; classes between equal edges are one.
        columns = [(column, np.unique(np.quantile(column, inner))) for column in attributes.numpy().T]
        self.edges = [edges[edges > column.min()].tolist() for column, edges in columns]

    def make_models(self) -> dict[str, nn.Module]:
        options, form = self.options, self.measures.form
        n_attributes = len(options.attribute_names)
        model = AdversarialVAE(form.size, n_attributes, form.hold, options.latent, options.hidden)
        adversary = AttributeClassifier(options.latent, n_attributes, options.classes)
        return {VAE: model, ADVERSARY: adversary}

    def build_models(self, phase: Phase) -> list[str]:
        size, best_by = super().build_models(phase)
        counts = ", ".join(
            f"{name} {len(edges) + 1}" for name, edges in zip(self.options.attribute_names, self.edges, strict=True)
        )
        return [size, f"classes of attributes: {counts}", best_by]

    def train_step(self, position: Position) -> dict[str, Tensor]:
        model, adversary, rows = self.models[VAE], self.models[ADVERSARY], self.batch(position)
        classes, n, place = self.classes_of(rows.attributes), len(rows.tokens), (position.epoch, position.example)
        with torch.no_grad():
            z = self.encode(model, rows).sample(self.noise(n, "adversary", *place))
        guess = adversary.loss(z, classes)
        self.update(guess, ADVERSARY)
        posterior = self.encode(model, rows)
        z = posterior.sample(self.noise(n, *place))
        logits = self._sampled(model, z, rows, position)
        losses = self.losses(model, rows, posterior, z, logits)
        self.update(losses["loss"], VAE)
        return {**losses, "classifier": guess}

    def _sampled(self, model: nn.Module, z: Tensor, rows: Rows, position: Position) -> Tensor:
        """Logits where every token heard is the true one by chance, less and less often."""
        steps_of_epoch = -(-self.n_examples // self.options.batch_size)
        iteration = position.epoch * steps_of_epoch + position.example // self.options.batch_size
        length = rows.tokens.shape[1]
        at = rng_at("teacher", self.options.seed, position.epoch, position.example)
        is_told = torch.rand(length, generator=at) < probability_of_truth(iteration, self.options.sampling_k)
        return model.decode_free(z, self.standardised(rows.attributes), length, rows.tokens, is_told)[0]

    def play(self, model: nn.Module, z: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
        return model.decode_free(z, self.standardised(rows.attributes), rows.tokens.shape[1])

    def losses(
        self, model: nn.Module, rows: Rows, posterior: Posterior, z: Tensor, logits: Tensor
    ) -> dict[str, Tensor]:
        options = self.options
        reconstruction = self.reconstruction(logits, rows)
        of_dimension = standard_normal_kl(posterior)
        kl = of_dimension.sum(1).mean()
        weighted = of_dimension.mean() if options.kl_over == MEAN else kl
        fooled = self.models[ADVERSARY].fooled_loss(z, self.classes_of(rows.attributes))
        own = reconstruction + options.kl_weight * weighted
        parts = {"loss_without_adversary": own, "reconstruction": reconstruction, "kl": kl, "fooled": fooled}
        return {"loss": own + options.adversary_weight * fooled, **parts}

    def standardised(self, attributes: Tensor) -> Tensor:
        """Attributes (B, n) by mean and deviation of the training rows."""
        return (attributes - self.mean.to(attributes.device)) / self.deviation.to(attributes.device)

    def classes_of(self, attributes: Tensor) -> Tensor:
        """The class of each attribute, int64 (B, n)."""
        columns = [
            torch.bucketize(attributes[:, k].contiguous(), torch.tensor(edges, device=attributes.device), right=True)
            for k, edges in enumerate(self.edges)
        ]
        return torch.stack(columns, dim=1)

    def facts(self, phase: Phase) -> dict[str, Any]:
        told = {"attribute_mean": self.mean.tolist(), "attribute_deviation": self.deviation.tolist()}
        return {**super().facts(phase), **told, "attribute_edges": self.edges}
