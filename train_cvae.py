"""Stage 1: train the CVAE on windows of 32 frames.

    python train_cvae.py --store store
    python train_cvae.py --store store --epochs 2 --device cpu      # a short run
    python train_cvae.py --dry-run                                  # print the options and stop

The same command resumes a run that was stopped. Writes checkpoints/cvae_pretrained_{best,last}.pth.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.errors import run_command
from common.options import option, parse_options
from data.store import WINDOW_LENGTHS
from models import CVAE
from models.checkpoint import CheckpointError
from models.losses import bernoulli_nll, elbo_terms
from training.loop import train
from training.stage import BALANCES, Draw, Phase, Stage, TrainingOptions
from training.validation import validate_cvae

PRESETS = {
    "paper": {},
    "paper-512": {},  # wider in the later stages alone
    "demo": {"epochs": 15, "batch_size": 64, "learning_rate": 2e-3},
    "smoke": {"epochs": 1, "batch_size": 64},
}


@dataclass(frozen=True)
class Options(TrainingOptions):
    """Stage 1 of the report."""

    seq_len: int = option(32, "frames in a window", choices=WINDOW_LENGTHS)
    epochs: int = option(10, "passes over the training windows", minimum=1)
    learning_rate: float = option(5e-5, "Adam's (the published code has 1e-4)", above=0)
    beta: float = option(0.05, "weight of the KL divergence", minimum=0)
    balance: str = option("weights", "unequal genres: weigh losses, sample evenly, or nothing", choices=BALANCES)


class CVAEStage(Stage):
    name = "cvae"
    best_by = {"cvae": "negative_elbo"}

    def __init__(self, options: Options) -> None:
        super().__init__(options, [Phase(options.seq_len, options.epochs)], options.balance)

    def build_models(self, seq_len: int) -> list[str]:
        self.seed_weights(self.name)
        cvae = CVAE(len(self.genres)).to(self.device)
        cvae.start_at(self.train_windows.pitch_rate())
        self.models = {"cvae": cvae}
        return ["best by: validation ELBO"]

    def make_optimizers(self) -> None:
        self.optimizers = {"cvae": torch.optim.Adam(self.models["cvae"].parameters(), self.options.learning_rate)}

    def train_step(self, draw: Draw) -> dict[str, Tensor]:
        cvae, optimizer = self.models["cvae"], self.optimizers["cvae"]
        batch = draw.batch()
        noise = draw.normal(len(batch.genre), cvae.latent)
        terms = elbo_terms(cvae, batch, noise, bernoulli_nll)
        # L_ELBO (report, section 2.1.3), each window weighted by its genre.
        kl = terms.kl.sum(1)
        loss = (self.genre_weights[batch.genre] * (terms.reconstruction + self.options.beta * kl)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": loss, "reconstruction": terms.reconstruction.mean(), "kl": kl.mean()}

    def validate(self) -> dict[str, float]:
        return validate_cvae(self.models["cvae"], self.val_windows, bernoulli_nll, self.options.beta)


def train_cvae(options: Options) -> None:
    """Run stage 1. Raises `UserError` or `CheckpointError` with a sentence where something is missing."""
    train(CVAEStage(options))


if __name__ == "__main__":
    run_command(lambda: train_cvae(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
