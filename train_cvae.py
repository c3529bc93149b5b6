"""Stage 1: train the CVAE on windows of 32 frames.

    python train_cvae.py --store store
    python train_cvae.py --store store --epochs 2 --device cpu      # a short run
    python train_cvae.py --preset large --bf16                      # the larger networks
    python train_cvae.py --preset large --init-from released/large --store my_store --epochs 3 --learning-rate 3e-4
    python train_cvae.py --dry-run                                  # print the options and stop

The same command resumes a run that was stopped. Writes checkpoints/cvae_pretrained_{best,last}.pth.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import option, parse_options
from data.window_lengths import WINDOW_LENGTHS
from models.errors import CheckpointError
from training import presets
from training.options import BALANCES, CVAESizeOptions, OptimizerOptions, RollTrainingOptions

if TYPE_CHECKING:
    from torch import Tensor

    from training.cvae_stage import CVAEStage
    from training.roll_stage import Draw

PRESETS = presets.presets_of(presets.CVAE)


@dataclass(frozen=True)
class Options(CVAESizeOptions, OptimizerOptions, RollTrainingOptions):
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


def iterate(stage: "CVAEStage", draw: "Draw") -> dict[str, "Tensor"]:
    """One step of the objective; returns the losses to log."""
    options, cvae, batch = stage.options, stage.models["cvae"], draw.batch()
    noise = draw.normal(cvae.noise_size(options.seq_len))
    terms = stage.elbo_terms(batch, noise, draw.most_notes())
    kl = terms.kl.sum(1)
    # L_ELBO (report, section 2.1.3), each window weighted by its genre
    loss = (stage.genre_weights[batch.genre] * (terms.reconstruction + options.beta * kl)).mean()
    stage.update(loss, "cvae")
    return {"loss": loss, "reconstruction": terms.reconstruction.mean(), "kl": kl.mean()}


def make_stage(options: Options) -> "CVAEStage":
    """The stage with its objective. Raises `UserError` if the device is not available."""
    from training.cvae_stage import CVAEStage

    return CVAEStage(options, iterate)


def train_cvae(options: Options) -> None:
    """Run stage 1. Raises `UserError` or `CheckpointError`, with a remedy, for wrong options or missing files."""
    from training.loop import train

    train(make_stage(options))


if __name__ == "__main__":
    run_command(lambda: train_cvae(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
