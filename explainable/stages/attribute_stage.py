"""Training of AttributeVAE: the first dimensions of z are the attributes; the decoder is trained to follow them.

An adversary and the distance correlation keep the attributes out of the other dimensions. Trained on true attributes
only, the decoder may ignore changed ones. Half of each batch is therefore decoded with shuffled attributes, and the
error of a differentiable attribute predictor (`AttributeReader`) is back-propagated.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.device import upload
from common.randomness import rng_at
from explainable.attributes import attribute_index
from explainable.normal_scores import NormalScores, scores_of
from explainable.played_scores import PlayedScores
from explainable.stages.stage import ADVERSARY, VAE, Rows, StudyStage, cross_entropy, decode_in_training
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


class AttributeStage(StudyStage):
    network = AttributeVAE.network
    # The adversary changes between epochs, and with it the whole loss.
    best_by = dict.fromkeys((VAE, ADVERSARY, READER), "val_loss_without_adversary")

    def open_phase(self, phase: Phase) -> None:
        super().open_phase(phase)
        columns = [attribute_index(name) for name in self.options.attribute_names]
        self.scores_of_tokens = PlayedScores(columns, self.scores, self.measures.form, self.device)

    def prepared(self, train: Rows, val: Rows) -> tuple[Rows, Rows]:
        """The rows with the normal scores of their attributes in place of the attributes."""
        self.scores = [NormalScores.of(column) for column in train.attributes.numpy().T]
        scores = (torch.from_numpy(scores_of(self.scores, rows.attributes.numpy())) for rows in (train, val))
        train_scores, val_scores = scores
        return train._replace(attributes=train_scores), val._replace(attributes=val_scores)

    def make_models(self) -> dict[str, nn.Module]:
        options, form = self.options, self.measures.form
        n = len(options.attribute_names)
        sizes = {"beats": 4 * form.measures, "ticks": len(form.ticks), "dropout": options.dropout}
        model = AttributeVAE(form.size, n, options.latent, options.hidden, **sizes)
        adversary, reader = AttributeRegressor(options.latent - n, n), AttributeReader(form.size, n)
        return {VAE: model, ADVERSARY: adversary, READER: reader}

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        rates = dict.fromkeys((ADVERSARY, READER), self.options.adversary_rate) | {VAE: self.options.learning_rate}
        return {name: adam(list(model.parameters()), rates[name]) for name, model in self.models.items()}

    def train_step(self, position: Position) -> dict[str, Tensor]:
        options, model, adversary = self.options, self.models[VAE], self.models[ADVERSARY]
        rows = self.batch(position)
        posterior = self.encode(model, rows)
        z = posterior.sample(self.noise(position))
        scores, _ = self._parts(z)

        for step in range(options.adversary_steps):
            noise = self.noise(position, "adversary", step)
            guess = adversary.loss(self._parts(posterior.detach().sample(noise))[1], scores)
            self.update(guess, ADVERSARY)

        logits = decode_in_training(model, z, rows, options, position)
        losses = {**self.losses(rows, posterior, z, logits), "guess": guess}
        if options.control_weight:
            losses |= self._control_losses(z, position)
            losses["loss"] = losses["loss"] + options.control_weight * losses["control"]
        self.update(losses["loss"], VAE)
        return losses

    def _control_losses(self, z: Tensor, position: Position) -> dict[str, Tensor]:
        """Decode half of the rows with shuffled attributes, and train the reader on the result. Mean squared errors:
        "control", predicted against requested scores; "missed", true against requested; "read", predicted against true.
        """
        half = self.ranks.part(max(self._batch_rows(position) // 2, 1))
        scores, others = self._parts(z[: half.n_rows])
        rng = rng_at("control", self.options.seed, position.epoch, position.example)
        shuffled = [torch.randperm(half.n, generator=rng) for _ in self.scores]
        order = upload(torch.stack(shuffled, dim=1), self.device)
        requested = self.ranks.gather(scores, half).gather(0, order)[half.rows]
        logits, tokens = self.models[VAE].decode_free(torch.cat([requested, others], dim=1))
        reader, played = self.models[READER], played_tokens(logits, tokens)
        reached = self.scores_of_tokens(tokens)
        # This process may have another share of the half than of the batch.
        share = half.weight / self.part.weight if half.weight else 0.0
        read = share * F.mse_loss(reader(played.detach()), reached)
        self.update(read, READER)
        control, missed = share * F.mse_loss(reader(played), requested), share * F.mse_loss(reached, requested)
        return {"control": control, "missed": missed, "read": read}

    def encode(self, model: nn.Module, rows: Rows) -> Posterior:
        return model.encode(rows.tokens, rows.attributes)

    def losses(self, rows: Rows, posterior: Posterior, z: Tensor, logits: Tensor) -> dict[str, Tensor]:
        options = self.options
        reconstruction = cross_entropy(logits, rows.tokens)
        scores, others = self._parts(z)
        kl = standard_normal_kl(posterior)[:, scores.shape[1] :].sum(1).mean()
        explained = self.of_batch(self.models[ADVERSARY].explained, others, scores)
        dependence = self.of_batch(distance_correlation, others, scores)
        own = reconstruction + options.beta * kl + options.dependence_weight * dependence
        parts = {"reconstruction": reconstruction, "kl": kl, "explained": explained, "dependence": dependence}
        return {"loss": own + options.adversary_weight * explained, "loss_without_adversary": own, **parts}

    def _parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The dimensions of z that are scores, and the others."""
        return z.tensor_split([len(self.scores)], dim=1)

    def facts(self, phase: Phase) -> dict[str, Any]:
        return {**super().facts(phase), "attribute_scores": [scores.as_plain() for scores in self.scores]}
