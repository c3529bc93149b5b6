"""Train the prior of a trained CVAE on whole songs, for pieces of minutes. Encoder and decoder stay as they are.

    python -m programs.train_prior --store store                  # weights of checkpoints/large, or the repository's
    python -m programs.train_prior --store store --init-from released/large --epochs 2
    python generate.py --checkpoints checkpoints/songs --genre jazz --windows 22       # three minutes

The encoder turns every song into the latents of its seconds. The prior learns them in pieces of several lengths, those
of a step of one, by minimising KL(q || p). What is saved is a mean of its weights before and after. The same command
resumes a run that was stopped. Writes
checkpoints/songs/hybrid_cvae_best_T{T}.pth.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from common.errors import run_command
from common.options import option, parse_options
from data.window_lengths import WINDOW_LENGTHS
from models.errors import CheckpointError
from models.names import LARGE
from training.options import COSINE, SCHEDULES, RollTrainingOptions

if TYPE_CHECKING:
    from torch import Tensor

    from training.prior_stage import Pieces, PriorStage


@dataclass(frozen=True)
class Options(RollTrainingOptions):
    """Pieces and duration."""

    architecture: ClassVar[str] = LARGE
    init_from: Path | None = option(
        None, "folder with hybrid_cvae_best_T{T}.pth (default: checkpoints/large, or else the repository's)"
    )
    checkpoints: Path = option(Path("checkpoints/songs"), "folder for weights")
    runs: Path = option(Path("runs/songs"), "folder for logs, TensorBoard scalars and the state to resume from")
    seq_len: int = option(128, "frames in a window (T), which selects the weights", choices=WINDOW_LENGTHS)
    piece_seconds: tuple[int, ...] = option((8, 32, 64, 128, 240), "lengths of pieces in seconds", minimum=1)
    share: float = option(
        0.25, "share of the trained prior in the weights that are saved, of which the rest is the first prior's: long "
        "pieces stay dense, and windows of 8 s as they were", minimum=0, maximum=1,
    )  # fmt: skip
    epochs: int = option(8, "times that all songs are encoded anew", minimum=1, maximum=1_000_000)
    epoch_windows: int = option(32_768, "pieces in an epoch, drawn anew for each", minimum=2)
    batch_size: int = option(64, "pieces in a step", minimum=2, maximum=1_000_000)
    learning_rate: float = option(2e-3, "Adam's", above=0)
    schedule: str = option(COSINE, "learning rate: constant, or falling to 0 along a cosine", choices=SCHEDULES)
    clip_norm: float = option(1.0, "maximum norm of the gradient; longer ones are scaled down; 0: no limit", minimum=0)
    transpose: bool = option(True, "transpose every song by a random -5 to +6 semitones in each epoch")
    move_windows: bool = option(True, "cut off up to 15 frames at the beginning of a song, at random in each epoch")


def iterate(stage: "PriorStage", pieces: "Pieces") -> dict[str, "Tensor"]:
    """One step of the objective; returns the losses to log."""
    from training.prior_stage import kl_of

    kl = kl_of(stage.models["cvae"], pieces).mean()
    stage.update(kl, "cvae")
    return {"kl": kl}


def make_stage(options: Options) -> "PriorStage":
    """The stage with its objective. Raises `UserError` if the device is not available."""
    from models.weight_files import folder_of
    from training.prior_stage import PriorStage

    return PriorStage(replace(options, init_from=options.init_from or folder_of(LARGE)), iterate)


def train_prior(options: Options) -> None:
    """Train the prior. Raises `UserError` or `CheckpointError`, with a remedy, for wrong options or missing files."""
    from training.loop import train

    train(make_stage(options))


if __name__ == "__main__":
    run_command(lambda: train_prior(parse_options(Options, __doc__)), CheckpointError)
