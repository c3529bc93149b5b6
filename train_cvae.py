"""Stage 1: train the CVAE on windows of 32 frames.

    python train_cvae.py --store store
    python train_cvae.py --store store --epochs 2 --device cpu      # a short run
    python train_cvae.py --preset large --bf16                      # the larger networks
    python train_cvae.py --preset large --init-from released/large --store my_store --epochs 3 --learning-rate 3e-4
    python train_cvae.py --dry-run                                  # print the options and stop

The same command resumes a run that was stopped. Writes checkpoints/cvae_pretrained_{best,last}.pth.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.errors import run_command
from common.options import option, parse_options
from data.store import WINDOW_LENGTHS
from models import ARCHITECTURES, LARGE, PAPER
from models.checkpoint import CheckpointError
from models.losses import NLL, elbo_terms
from models.prior import PRIORS
from models.weight_files import pretrained_file
from training.loop import train
from training.optimizers import MUON, OptimizerOptions, optimizer_of
from training.roll_stage import (
    BALANCES,
    Draw,
    RollPhase,
    RollStage,
    RollTrainingOptions,
    build_sized,
    in_folder_of,
    with_prior,
)
from training.stage import COSINE
from training.validation import validate_cvae

LARGE_CVAE = {
    **in_folder_of(LARGE), "architecture": LARGE, "seq_len": 128, "epochs": 20, "batch_size": 64,
    "learning_rate": 1.5e-3, "beta": 1.0, "free_nats": 6.0, "balance": "sampler", "transpose": True,
    "move_windows": True, "dropout": 0.1, "schedule": COSINE, "warm_up": 200, "optimizer": MUON, "clip_norm": 1.0,
    "ema": 0.999,
}  # fmt: skip
PRESETS = {
    "paper": {},
    "paper-512": {},  # wider in the later stages alone
    "large": LARGE_CVAE,
    "large-demo": {**LARGE_CVAE, "hidden": 64, "depth": 2, "epochs": 6, "warm_up": 20, "ema": 0.99},
    "demo": {"epochs": 15, "batch_size": 64, "learning_rate": 2e-3},
    "smoke": {"epochs": 1, "batch_size": 64},
}
SIZE = "(default: of the architecture)"


@dataclass(frozen=True)
class Options(RollTrainingOptions, OptimizerOptions):
    """Stage 1 of the report."""

    seq_len: int = option(32, "frames in a window", choices=WINDOW_LENGTHS)
    epochs: int = option(10, "passes over the training windows", minimum=1, maximum=1_000_000)
    learning_rate: float = option(5e-5, "Adam's (the published code has 1e-4)", above=0)
    beta: float = option(0.05, "weight of the KL divergence", minimum=0)
    free_nats: float = option(0.0, "KL of a part of z (a second, or the window) that costs nothing, nats", minimum=0)
    balance: str = option("weights", "unequal genres: weigh losses, sample evenly, or nothing", choices=BALANCES)
    architecture: str = option(PAPER, "named sizes of the CVAE", choices=tuple(ARCHITECTURES["cvae"]))
    latent: int | None = option(None, f"dimensions of z {SIZE}", minimum=1, maximum=4096)
    hidden: int | None = option(None, f"width of the recurrent or attention layers {SIZE}", minimum=1, maximum=4096)
    prior: str | None = option(None, "what z is drawn from (default: of the architecture)", choices=tuple(PRIORS))
    depth: int | None = option(None, f"attention layers of the note decoder {SIZE}", minimum=1, maximum=100)
    event_size: int | None = option(None, f"numbers that embed a window's notes {SIZE}", minimum=1, maximum=4096)
    genre_size: int | None = option(None, f"numbers that embed a genre {SIZE}", minimum=1, maximum=4096)


class CVAEStage(RollStage):
    name = "cvae"
    best_by = {"cvae": "negative_elbo"}
    averaged = ("cvae",)

    def __init__(self, options: Options) -> None:
        super().__init__(options, [RollPhase.of(options.seq_len, options.epochs)], options.balance)

    def open(self) -> None:
        super().open()
        self.initial = None
        if self.options.init_from:
            cvae, lines = self.load_initial(pretrained_file("cvae"), "cvae")
            cvae, of_prior = with_prior(cvae, self.options.prior)
            self.initial = cvae, [*lines, *of_prior]

    def build_models(self, phase: RollPhase) -> list[str]:
        self.seed_weights(self.name)
        log = ["best by: validation ELBO, mean over genres"]
        if self.initial:
            cvae, lines = self.initial
            self.models = {"cvae": cvae.to(self.device)}
            return [*log, *lines]
        names = ("latent", "hidden", "depth", "event_size", "genre_size", "prior")
        sizes = {name: getattr(self.options, name) for name in names}
        cvae = build_sized("cvae", self.options.architecture, n_genres=len(self.genres), **sizes).to(self.device)
        cvae.start_at(self.train_windows.pitch_rate())
        self.models = {"cvae": cvae}
        return log

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"cvae": optimizer_of(self.models["cvae"], self.options.learning_rate, self.options)}

    def iterate(self, draw: Draw) -> dict[str, Tensor]:
        cvae, batch = self.models["cvae"], draw.batch()
        noise = draw.normal(len(batch.genre), cvae.noise_size(self.options.seq_len))
        terms = elbo_terms(cvae, batch, noise, NLL, self.options.free_nats)
        # L_ELBO (report, section 2.1.3), each window weighted by its genre.
        kl = terms.kl.sum(1)
        loss = self.weighted_mean(terms.reconstruction + self.options.beta * kl, batch.genre)
        self.update(loss, "cvae")
        return {"loss": loss, "reconstruction": terms.reconstruction.mean(), "kl": kl.mean()}

    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        return validate_cvae(models["cvae"], self.val_windows, NLL, self.options.beta)


def train_cvae(options: Options) -> None:
    """Run stage 1. Raises `UserError` or `CheckpointError` with a sentence where something is missing."""
    train(CVAEStage(options))


if __name__ == "__main__":
    run_command(lambda: train_cvae(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
