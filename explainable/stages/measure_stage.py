"""Training of MeasureVAE: reconstruction, KL divergence, and dimensions of z that are ordered like the attributes."""

from dataclasses import dataclass

from torch import Tensor, nn

from common.errors import UserError
from common.options import option
from explainable.stages.stage import VAE, Rows, StudyOptions, StudyStage, cross_entropy, decode_in_training
from models.prior import Posterior, standard_normal_kl
from models.study.measure_vae import MeasureVAE, attribute_loss
from training.stage import Position


@dataclass(frozen=True)
class MeasureOptions(StudyOptions):
    """MeasureVAE, by default as published."""

    beta: float = option(0.001, "weight of the KL divergence", minimum=0)
    teacher_forcing: float = option(0.5, "share of the steps that decode from the true tokens", minimum=0, maximum=1)
    dropout: float = option(0.5, "dropout between recurrent layers", minimum=0, maximum=0.9)
    relu_logits: bool = option(True, "pass logits through a ReLU, as published")
    gamma: float = option(1.0, "weight of each attribute's loss", minimum=0)
    delta: float = option(10.0, "steepness of the attribute's loss in z", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent < (n := len(self.attribute_names)):
            raise UserError(f"--latent {self.latent} has no dimension for each of {n} attributes; give it {n} or more")


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
        z = posterior.sample(self.noise(len(rows.tokens), position.epoch, position.example))
        logits = decode_in_training(model, z, rows, self.options, position)
        losses = self.losses(rows, posterior, z, logits)
        self.update(losses["loss"], VAE)
        return losses

    def losses(self, rows: Rows, posterior: Posterior, z: Tensor, logits: Tensor) -> dict[str, Tensor]:
        options = self.options
        reconstruction = cross_entropy(logits, rows.tokens)
        kl = standard_normal_kl(posterior).sum(1).mean()
        # Dimension k of z follows attribute k.
        order = sum(attribute_loss(z[:, k], column, options.delta) for k, column in enumerate(rows.attributes.t()))
        loss = reconstruction + options.beta * kl + options.gamma * order
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl, "attribute": order}
