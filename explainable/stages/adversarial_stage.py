"""Training of AdversarialVAE: a classifier predicts the attributes from z; the encoder is trained against it."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.randomness import rng_at
from explainable.stages.stage import ADVERSARY, VAE, Rows, StudyStage, cross_entropy
from models.prior import Posterior, standard_normal_kl
from models.study.adversarial_vae import AdversarialVAE, AttributeClassifier, probability_of_truth
from training.stage import Phase, Position


class AdversarialStage(StudyStage):
    network = AdversarialVAE.network
    # The adversary changes between epochs, and with it the whole loss.
    best_by = dict.fromkeys((VAE, ADVERSARY), "val_loss_without_adversary")
    fixed_options = StudyStage.fixed_options | {"classes"}

    def open_phase(self, phase: Phase) -> None:
        super().open_phase(phase)
        padded = [[*edges, *[math.inf] * (self.options.classes - len(edges))] for edges in self.edges]
        self.mean, self.deviation, self.padded_edges = (
            each.to(self.device) for each in (self.mean, self.deviation, torch.tensor(padded))
        )

    def prepared(self, train: Rows, val: Rows) -> tuple[Rows, Rows]:
        attributes = train.attributes.double()
        self.mean, self.deviation = attributes.mean(0).float(), attributes.std(0).clamp_min(1e-6).float()
        inner = np.linspace(0, 1, self.options.classes + 1)[1:-1]
        # An attribute may have few values: equal edges, and an edge at the minimum, separate nothing.
        columns = [(column, np.unique(np.quantile(column, inner))) for column in attributes.numpy().T]
        self.edges = [edges[edges > column.min()].tolist() for column, edges in columns]
        return train, val

    def make_models(self) -> dict[str, nn.Module]:
        options, form = self.options, self.measures.form
        n_attributes = len(options.attribute_names)
        model = AdversarialVAE(form.size, n_attributes, form.hold, options.latent, options.hidden)
        adversary = AttributeClassifier(options.latent, n_attributes, options.classes)
        return {VAE: model, ADVERSARY: adversary}

    def build_models(self, phase: Phase) -> list[str]:
        counts = zip(self.options.attribute_names, self.edges, strict=True)
        classes = ", ".join(f"{name} {len(edges) + 1}" for name, edges in counts)
        return [*super().build_models(phase), f"classes of attributes: {classes}"]

    def train_step(self, position: Position) -> dict[str, Tensor]:
        options, model, adversary = self.options, self.models[VAE], self.models[ADVERSARY]
        rows = self.batch(position)
        length = rows.tokens.shape[1]

        with torch.no_grad():
            z = model.encode(rows.tokens).sample(self.noise(position, "adversary"))
        guess = adversary.loss(z, self.classes_of(rows.attributes))
        self.update(guess, ADVERSARY)

        posterior = model.encode(rows.tokens)
        z = posterior.sample(self.noise(position))
        # Scheduled sampling: the probability that a token is true falls from step to step.
        steps_per_epoch = -(-self.n_examples // options.batch_size)
        step = position.epoch * steps_per_epoch + position.example // options.batch_size
        rng = rng_at("teacher", options.seed, position.epoch, position.example)
        is_true = torch.rand(length, generator=rng) < probability_of_truth(step, options.sampling_k)
        logits, _ = model.decode_free(z, self.standardised(rows.attributes), length, rows.tokens, is_true)
        losses = self.losses(rows, posterior, z, logits)
        self.update(losses["loss"], VAE)
        return {**losses, "classifier": guess}

    def decode_free(self, model: nn.Module, z: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
        return model.decode_free(z, self.standardised(rows.attributes), rows.tokens.shape[1])

    def losses(self, rows: Rows, posterior: Posterior, z: Tensor, logits: Tensor) -> dict[str, Tensor]:
        options = self.options
        reconstruction = cross_entropy(logits, rows.tokens)
        kl_of_dimensions = standard_normal_kl(posterior)  # (B, latent)
        kl = kl_of_dimensions.sum(1).mean()
        weighted = kl_of_dimensions.mean() if options.kl_over == "mean" else kl
        fooled = self.models[ADVERSARY].fooled_loss(z, self.classes_of(rows.attributes))
        own = reconstruction + options.kl_weight * weighted
        parts = {"loss_without_adversary": own, "reconstruction": reconstruction, "kl": kl, "fooled": fooled}
        return {"loss": own + options.adversary_weight * fooled, **parts}

    def standardised(self, attributes: Tensor) -> Tensor:
        """Attributes (B, n) less the mean of the training rows, divided by their deviation."""
        return (attributes - self.mean) / self.deviation

    def classes_of(self, attributes: Tensor) -> Tensor:
        """The class of each attribute, int64 (B, n)."""
        return torch.searchsorted(self.padded_edges, attributes.t().contiguous(), right=True).t()

    def facts(self, phase: Phase) -> dict[str, Any]:
        scale = {"attribute_mean": self.mean.tolist(), "attribute_deviation": self.deviation.tolist()}
        return {**super().facts(phase), **scale, "attribute_edges": self.edges}
