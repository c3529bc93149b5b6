"""Stage 1: train the CVAE on windows of 32 frames.

    python train_cvae.py --store store
    python train_cvae.py --store store --epochs 2 --device cpu      # a short run
    python train_cvae.py --preset large --bf16                      # the larger networks
    python train_cvae.py --preset large --init-from released/large --store my_store --epochs 3 --learning-rate 3e-4
    python train_cvae.py --dry-run                                  # print the options and stop

The same command resumes a run that was stopped. Writes checkpoints/cvae_pretrained_{best,last}.pth.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from common.errors import UserError, run_command
from common.options import CheckedOptions, option, parse_options
from data.window_lengths import WINDOW_LENGTHS
from models import ARCHITECTURES, PAPER
from models.errors import CheckpointError
from models.losses import elbo_terms
from models.names import NLL, PRIORS
from models.weight_files import pretrained_file
from training import presets
from training.loop import train
from training.optimizers import OptimizerOptions, optimizer_of, set_dropout
from training.roll_stage import BALANCES, Draw, RollPhase, RollStage, RollTrainingOptions, build_sized, with_prior
from training.validation import validate_cvae

PRESETS = presets.presets_of(presets.CVAE)
SIZE = "(default: of the architecture)"


@dataclass(frozen=True)
class ModelOptions(CheckedOptions):
    """CVAE."""

    architecture: str = option(PAPER, "named sizes of the CVAE", choices=tuple(ARCHITECTURES["cvae"]))
    latent: int | None = option(None, f"dimensions of z {SIZE}", minimum=1, maximum=4096)
    hidden: int | None = option(None, f"width of the recurrent or attention layers {SIZE}", minimum=1, maximum=4096)
    depth: int | None = option(None, f"attention layers of the note decoder {SIZE}", minimum=1, maximum=100)
    event_size: int | None = option(None, f"size of the embedding of the notes {SIZE}", minimum=1, maximum=4096)
    genre_size: int | None = option(None, f"size of the genre embedding {SIZE}", minimum=1, maximum=4096)
    prior: str | None = option(None, f"p(z | genre) {SIZE}", choices=PRIORS)


@dataclass(frozen=True)
class Options(ModelOptions, OptimizerOptions, RollTrainingOptions):
    """Objective and duration of stage 1."""

    seq_len: int = option(32, "frames in a window", choices=WINDOW_LENGTHS)
    epochs: int = option(10, "passes over the training windows", minimum=1, maximum=1_000_000)
    learning_rate: float = option(5e-5, "Adam's (the published code has 1e-4)", above=0)
    beta: float = option(0.05, "weight of the KL divergence", minimum=0)
    free_nats: float = option(
        0.0, "free bits: no gradient below this KL, in nats, of z (architecture large: of a second's part of z)",
        minimum=0,
    )  # fmt: skip
    balance: str = option("weights", "unequal genres: weight the loss, sample evenly, or nothing", choices=BALANCES)


class CVAEStage(RollStage):
    name = "cvae"
    best_by = {"cvae": "negative_elbo"}
    averaged = ("cvae",)

    def open(self) -> None:
        super().open()
        self.initial = None
        if self.options.init_from:
            cvae, lines = self.load_initial(pretrained_file("cvae"), "cvae")
            for name in ("latent", "hidden", "depth", "event_size", "genre_size"):
                given, own = getattr(self.options, name), cvae.config.get(name)
                if given not in (None, own):
                    flag = f"--{name.replace('_', '-')} {given}"
                    raise UserError(f"{flag}: the weights of --init-from have {own or 'no such size'}; leave it out")
            cvae, prior_lines = with_prior(cvae, self.options.prior)
            self.initial = cvae, [*lines, *prior_lines]

    def build_models(self, phase: RollPhase) -> list[str]:
        self.seed_weights(self.name)
        log = ["best by: validation ELBO, mean over genres"]
        if self.initial:
            cvae, lines = self.initial
            self.models = {"cvae": cvae.to(self.device)}
            return [*log, *lines]
        options = {field.name: getattr(self.options, field.name) for field in fields(ModelOptions)}
        cvae = build_sized("cvae", n_genres=len(self.genres), **options).to(self.device)
        cvae.start_at(self.train_windows.pitch_rate())
        self.models = {"cvae": cvae}
        return log

    def start(self) -> None:
        set_dropout(self.models["cvae"], self.options.dropout)
        super().start()

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"cvae": optimizer_of(self.models["cvae"], self.options.learning_rate, self.options)}

    def iterate(self, draw: Draw) -> dict[str, Tensor]:
        options, cvae, batch = self.options, self.models["cvae"], draw.batch()
        noise = draw.normal(len(batch.genre), cvae.noise_size(options.seq_len))
        terms = elbo_terms(cvae, batch, noise, NLL, options.free_nats)
        kl = terms.kl.sum(1)
        # L_ELBO (report, section 2.1.3), each window weighted by its genre
        loss = (self.genre_weights[batch.genre] * (terms.reconstruction + options.beta * kl)).mean()
        self.update(loss, "cvae")
        return {"loss": loss, "reconstruction": terms.reconstruction.mean(), "kl": kl.mean()}

    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        return validate_cvae(models["cvae"], self.val_windows, NLL, self.options.beta)


def train_cvae(options: Options) -> None:
    """Run stage 1. Raises `UserError` or `CheckpointError`, with a remedy, for wrong options or missing files."""
    train(CVAEStage(options))


if __name__ == "__main__":
    run_command(lambda: train_cvae(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
