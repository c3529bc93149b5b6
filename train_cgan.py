"""Stage 2: train generator and critic (WGAN-GP) on latents of the frozen CVAE of stage 1.

    python train_cgan.py --store store
    python train_cgan.py --store store --preset paper-512           # the width of the published code

The same command resumes a run that was stopped. Writes checkpoints/{generator,critic}_pretrained_{best,last}.pth.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import option, parse_options
from data.window_lengths import WINDOW_LENGTHS
from models.errors import CheckpointError
from training import presets
from training.options import BALANCES, EarlierStageOptions, RollTrainingOptions, WganOptions

if TYPE_CHECKING:
    from torch import Tensor

    from training.cgan_stage import CGANStage
    from training.roll_stage import Draw

PRESETS = presets.presets_of(presets.CGAN)


@dataclass(frozen=True)
class Options(WganOptions, EarlierStageOptions, RollTrainingOptions):
    """Duration of stage 2."""

    seq_len: int = option(32, "frames in a window", choices=WINDOW_LENGTHS)
    epochs: int = option(20, "passes of the generator over the training windows", minimum=1, maximum=1_000_000)
    learning_rate: float = option(1e-4, "Adam's, for the generator and by default for the critic", above=0)
    balance: str = option("none", "unequal genres: sample evenly, or nothing", choices=BALANCES[1:])


def iterate(stage: "CGANStage", draw: "Draw") -> dict[str, "Tensor"]:
    """One step of the objective: several of the critic, one of the generator; returns the losses to log."""
    for stream in range(1, stage.options.critic_steps + 1):
        critic_losses = stage.gan.critic_losses(stage.encoded(draw, draw.index(stream)), draw)
        stage.update(critic_losses["critic"], "critic")
    roll, genre, posterior = stage.encoded(draw, draw.index())
    z = posterior.sample(draw.normal(posterior.mean.shape[1]))
    losses = stage.gan.generator_losses(z, roll, genre, draw)
    stage.update(sum(losses.values()), "generator")
    return {**losses, **critic_losses}


def make_stage(options: Options) -> "CGANStage":
    """The stage with its objective. Raises `UserError` if the device is not available."""
    from training.cgan_stage import CGANStage

    return CGANStage(options, iterate)


def train_cgan(options: Options) -> None:
    """Run stage 2. Raises `UserError` or `CheckpointError`, with a remedy, for wrong options or missing files."""
    from training.loop import train

    train(make_stage(options))


if __name__ == "__main__":
    run_command(lambda: train_cgan(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
