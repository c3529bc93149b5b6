"""Options of trainings, in groups that several of them share."""

from dataclasses import dataclass
from pathlib import Path

from common.options import DEVICES, CheckedOptions, option
from models.architectures import ARCHITECTURES
from models.names import PAPER, PRIORS

CONSTANT, COSINE = SCHEDULES = ("constant", "cosine")
ADAM, MUON = OPTIMIZERS = ("adam", "muon")
BALANCES = ("weights", "sampler", "none")
SOFT, BINARY = FAKES = ("soft", "binary")
_SIZE = "(default: of the architecture)"


@dataclass(frozen=True)
class FolderOptions(CheckedOptions):
    """Folders."""

    checkpoints: Path = option(Path("checkpoints"), "folder for weights, and where those of earlier stages are")
    runs: Path = option(Path("runs"), "folder for logs, TensorBoard scalars and the state to resume from")


@dataclass(frozen=True)
class ResumingOptions(CheckedOptions):
    """Saving and resuming."""

    save_minutes: float = option(5.0, "minutes between saves of the state within an epoch", above=0)
    max_hours: float | None = option(
        None, "hours after which this command stops with the state saved, to go on later (default: no limit)",
        above=0,
    )  # fmt: skip
    restart: bool = option(False, "start anew: overwrite the state and the weights of an earlier run")
    allow_changes: bool = option(False, "resume although options have changed")


@dataclass(frozen=True)
class DeviceOptions(CheckedOptions):
    """Device and precision."""

    device: str = option("auto", "where to train; auto is cuda, else mps, else cpu", choices=DEVICES)
    bf16: bool = option(False, "compute in bfloat16 where that is safe (autocast)")
    tf32: bool = option(False, "on a GPU, round the factors of matrix products to TF32")
    compile: bool = option(
        False, "compile the parts of a step with torch.compile, on a GPU with CUDA graphs: takes minutes. On CPUs, "
        "parts of a step became slower, .66 to .97 times as fast",
    )  # fmt: skip
    threads: int = option(0, "CPU threads; 0: torch's choice", minimum=0, maximum=1024)


@dataclass(frozen=True)
class TrainingOptions(FolderOptions, ResumingOptions, DeviceOptions):
    """Steps and schedule."""

    seed: int = option(0, "determines initial weights, order and noise", minimum=0)
    batch_size: int = option(512, "examples in a step", minimum=2, maximum=1_000_000)
    schedule: str = option(
        CONSTANT, "learning rate within a phase: constant, or falling to 0 along a cosine", choices=SCHEDULES
    )
    warm_up: int = option(0, "first steps of a phase, in which the learning rate rises linearly from 0", minimum=0)
    clip_norm: float = option(
        0.0, "maximum norm of a model's gradient; longer gradients are scaled down; 0: no limit", minimum=0
    )
    ema: float = option(
        0.0, "decay per update of the moving average of the weights, which is validated and saved; 0: no average",
        minimum=0, maximum=0.999999,
    )  # fmt: skip


@dataclass(frozen=True)
class OptimizerOptions(CheckedOptions):
    """Training of a note decoder (architecture large)."""

    optimizer: str = option(
        ADAM, "adam, or muon: orthogonal updates of the attention matrices, and AdamW for the other parameters",
        choices=OPTIMIZERS,
    )  # fmt: skip
    matrix_learning_rate: float = option(0.02, "learning rate of muon, for the attention matrices", above=0)
    dropout: float = option(0.0, "dropout of what each attention layer adds", minimum=0, maximum=0.9)


@dataclass(frozen=True)
class DataOptions(CheckedOptions):
    """Training data."""

    store: Path = option(Path("store"), "roll store, made by prepare_data.py")
    transpose: bool = option(False, "transpose every training window by a random -5 to +6 semitones")
    move_windows: bool = option(False, "cut the training windows at random frames, new ones in every epoch")
    epoch_windows: int | None = option(None, "windows in an epoch, drawn anew for each (default: all)", minimum=2)
    shuffle_labels: bool = option(
        False,
        "assign each split's genres to its songs at random (control experiment: does the genre matter?); name "
        "--checkpoints and --runs of their own for it",
    )


@dataclass(frozen=True)
class InitialWeightsOptions(CheckedOptions):
    """Initial weights."""

    init_from: Path | None = option(
        None, "folder of weights to start from, also of other music and genres; they bring their sizes"
    )


@dataclass(frozen=True)
class EarlierStageOptions(CheckedOptions):
    """Weights of earlier stages."""

    allow_other_songs: bool = option(False, "start from weights of other songs than the store's training songs")
    allow_other_cvae: bool = option(False, "start from a generator and a critic that were trained with another CVAE")


@dataclass(frozen=True)
class RollTrainingOptions(DataOptions, InitialWeightsOptions, TrainingOptions):
    """Options that the three stages share."""


@dataclass(frozen=True)
class CVAESizeOptions(CheckedOptions):
    """CVAE."""

    architecture: str = option(PAPER, "named sizes of the CVAE", choices=tuple(ARCHITECTURES["cvae"]))
    latent: int | None = option(None, f"dimensions of z {_SIZE}", minimum=1, maximum=4096)
    hidden: int | None = option(None, f"width of the recurrent or attention layers {_SIZE}", minimum=1, maximum=4096)
    depth: int | None = option(None, f"attention layers of the note decoder {_SIZE}", minimum=1, maximum=100)
    event_size: int | None = option(None, f"size of the embedding of the notes {_SIZE}", minimum=1, maximum=4096)
    genre_size: int | None = option(None, f"size of the genre embedding {_SIZE}", minimum=1, maximum=4096)
    prior: str | None = option(None, f"p(z | genre) {_SIZE}", choices=PRIORS)


@dataclass(frozen=True)
class WganOptions(CheckedOptions):
    """Generator and critic."""

    architecture: str = option(PAPER, "named sizes of generator and critic", choices=tuple(ARCHITECTURES["generator"]))
    hidden: int | None = option(None, f"width {_SIZE}", minimum=2, maximum=16_384)
    genre_size: int | None = option(None, f"size of the genre embedding {_SIZE}", minimum=1, maximum=4096)
    noise: int | None = option(
        None,
        f"random numbers of the generator for each frame, beside z (architecture large) {_SIZE}",
        minimum=0,
        maximum=64,
    )
    outline: int | None = option(
        None, f"width of the generator's network that draws its outline; 0: none (architecture large) {_SIZE}",
        minimum=0, maximum=4096,
    )  # fmt: skip
    critic_takes_z: bool = option(
        False, "the critic scores pairs of a roll and its z, not rolls alone (architecture large)"
    )
    critic_steps: int = option(5, "critic updates per generator update", minimum=1, maximum=1000)
    critic_learning_rate: float | None = option(
        None, "learning rate of the critic (default: that of the generator)", above=0
    )
    gan_betas: tuple[float, float] = option(
        (0.5, 0.999), "Adam's betas, for generator and critic", minimum=0, maximum=0.999999
    )
    penalty: float = option(10.0, "weight of the gradient penalty", minimum=0)
    drift: float = option(0.0, "weight of the mean squared score of real windows", minimum=0)
    prior_share: float = option(
        0.0, "share of the fakes made from z of the prior instead of the encoder's z", minimum=0, maximum=1
    )
    fakes: str = option(
        SOFT, "fakes as the critic sees them: probabilities (soft), or 0 and 1 by straight-through", choices=FAKES
    )
