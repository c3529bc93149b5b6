"""Training of MeasureVAE: reconstruction, KL divergence, and dimensions of z that are ordered like the attributes."""

from functools import partial

from torch import Tensor, nn

from explainable.stages.stage import VAE, Rows, StudyStage, cross_entropy, decode_in_training
from models.prior import Posterior, standard_normal_kl
from models.study.measure_vae import MeasureVAE, attribute_loss
from training.stage import Position


class MeasureStage(StudyStage):
    network = MeasureVAE.network
    best_by = {VAE: "val_loss"}
    fixed_options = StudyStage.fixed_options | {"relu_logits"}

    def make_models(self) -> dict[str, nn.Module]:
        options, form = self.options, self.measures.form
        sizes = {"beats": 4 * form.measures, "ticks": len(form.ticks), "dropout": options.dropout}
        return {VAE: MeasureVAE(form.size, options.latent, options.hidden, **sizes, relu_logits=options.relu_logits)}

    def train_step(self, position: Position) -> dict[str, Tensor]:
        model, rows = self.models[VAE], self.batch(position)
        posterior = model.encode(rows.tokens)
        z = posterior.sample(self.noise(position))
        logits = decode_in_training(model, z, rows, self.options, position)
        losses = self.losses(rows, posterior, z, logits)
        self.update(losses["loss"], VAE)
        return losses

    def losses(self, rows: Rows, posterior: Posterior, z: Tensor, logits: Tensor) -> dict[str, Tensor]:
        options = self.options
        reconstruction = cross_entropy(logits, rows.tokens)
        kl = standard_normal_kl(posterior).sum(1).mean()
        # Dimension k of z follows attribute k.
        order_of = partial(attribute_loss, delta=options.delta)
        order = sum(self.of_batch(order_of, z[:, k], column) for k, column in enumerate(rows.attributes.t()))
        loss = reconstruction + options.beta * kl + options.gamma * order
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl, "attribute": order}
