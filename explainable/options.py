"""Options of the study: of its data sets, its trainings, and of programs that use trained models."""

import re
from collections.abc import Sequence
from dataclasses import Field, dataclass, fields, replace
from pathlib import Path
from typing import Any

from audio.options import SoundFileOptions
from common.errors import UserError
from common.options import CheckedOptions, flag_of, option
from explainable.attributes import ATTRIBUTES, NOTE_DENSITY, RHYTHMIC_COMPLEXITY, attribute_index
from explainable.melodies.named_sets import NAMED_SETS, named_set
from explainable.melodies.tunes import PERFORMED_TOLERANCE, bar_quarters
from explainable.tokens import FORMS, TokenForm
from models.names import ADVERSARIAL_VAE, ATTRIBUTE_VAE, MEASURE_VAE
from training.options import TrainingOptions

# Attribute k is controlled by dimension k of z.
NAMED_ATTRIBUTES = {"2": (RHYTHMIC_COMPLEXITY, NOTE_DENSITY), "4": ATTRIBUTES}
_EPOCH_ROWS = "rows in an epoch: a random part of the training rows, or several passes over them"
_MAX_MEASURES = 100_000  # of all melodies together
_OF_NEW, _OF_SOURCE = ("count", "measures", "correlation", "seed"), ("tune", "guess_melody")


@dataclass(frozen=True)
class MeasureSettings:
    """The settings that, with the files, decide the content of a data set. `tolerance`: in beats, for MIDI files."""

    metres: tuple[str, ...] = ("4/4",)
    repeats: bool = True
    guess_melody: bool = False
    tolerance: float = float(PERFORMED_TOLERANCE)
    off_grid: str = "auto"
    keep_empty: bool = False
    transpose: bool = True
    reader_version: int = 1  # part of the content hash of every set, also of those that shipped weights name


@dataclass(frozen=True)
class PrepareOptions(CheckedOptions):
    """The files of a data set, and how they become measures."""

    name: str | None = option(None, f"{', '.join(NAMED_SETS)}; also as the first word, without the flag")
    input: Path | None = option(None, "folder or file of melodies; default: NAME's files in music21")
    out: Path | None = option(None, "folder to write; default: measures/NAME")
    form: str = option("measure", "rows of one measure, or of four in sixteenths", choices=tuple(FORMS))
    lowest: int | None = option(None, "lowest MIDI pitch; default: the form's", minimum=0, maximum=127)
    highest: int | None = option(None, "highest MIDI pitch; default: the form's", minimum=0, maximum=127)
    metres: tuple[str, ...] = option((), "accepted metres, of 4 or 2 quarters a bar; default: 4/4 (pop: 4/4,2/4)")
    repeats: bool = option(True, "play out repeats and endings")
    guess_melody: bool = option(False, "guess which part of a MIDI file is the melody")
    tolerance: float = option(
        float(PERFORMED_TOLERANCE), "largest distance of an onset of a MIDI file from its tick, in beats",
        minimum=0, maximum=0.125,
    )  # fmt: skip
    off_grid: str = option(
        "auto",
        "what to drop for an onset off the grid; auto: the tune (ABC, MusicXML) or the measure (others)",
        choices=("auto", "tune", "measure"),
    )
    keep_empty: bool = option(False, "keep measures in which no note begins")
    transpose: bool = option(True, "train on every transposition inside the range (phrases: 5 down to 6 up)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name is None and self.input is None:
            raise UserError(f"give the name of a data set ({', '.join(NAMED_SETS)}), or --input FOLDER_OR_FILE")
        if self.name is not None:
            named_set(self.name)
        for metre in self.metres:
            if not re.fullmatch("[0-9]+/0*[1-9][0-9]*", metre) or bar_quarters(metre) not in (2, 4):
                raise UserError(f"--metres takes metres of 4 or 2 quarters a bar, as in 4/4,2/2,2/4, but got {metre!r}")
        form = self.token_form
        if form.lowest >= form.highest:
            raise UserError(f"--lowest {form.lowest} must be below --highest {form.highest}")

    @property
    def token_form(self) -> TokenForm:
        form = FORMS[self.form]
        lowest = form.lowest if self.lowest is None else self.lowest
        return replace(form, lowest=lowest, highest=form.highest if self.highest is None else self.highest)

    @property
    def settings(self) -> MeasureSettings:
        """The settings, with the metres of the named set where none are given."""
        metres = self.metres or (named_set(self.name).metres if self.name else ("4/4",))
        return MeasureSettings(
            metres, self.repeats, self.guess_melody, self.tolerance, self.off_grid, self.keep_empty, self.transpose
        )


@dataclass(frozen=True)
class StudyOptions(TrainingOptions):
    """Data, controls and epochs."""

    data: Path = option(Path("measures/irish_folk"), "data set made by programs.study_prepare")
    batch_size: int = option(256, "rows in a step", minimum=2, maximum=1_000_000)
    hidden: int = option(512, "width of the recurrent layers", minimum=2, maximum=16_384)
    latent: int = option(32, "size of z", minimum=1, maximum=4096)
    attributes: tuple[str, ...] = option(("4",), f"controlled attributes: 2, 4, or names of {', '.join(ATTRIBUTES)}")
    learning_rate: float = option(1e-4, "learning rate of Adam", above=0)
    epochs: int = option(30, "passes over the training rows, or over --epoch-rows of them", minimum=1)
    epoch_rows: int | None = option(None, _EPOCH_ROWS, minimum=2)
    validation_rows: int = option(4096, "maximum number of validation rows, the same in every epoch", minimum=2)
    training_measures: int | None = option(
        None, "train on at most this many measures, not counting transpositions: whole tunes drawn by --seed; a larger "
        "number adds tunes to those of a smaller one", minimum=1,
    )  # fmt: skip
    transposed: bool = option(True, "also train on the transpositions of the tunes, if the data set has them")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.attribute_names:
            attribute_index(name)
            if self.attribute_names.count(name) > 1:
                raise UserError(f"--attributes: {name} twice; name each once")

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Names of the controlled attributes, in the order of the controls."""
        return NAMED_ATTRIBUTES.get(",".join(self.attributes), self.attributes)


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


@dataclass(frozen=True)
class AdversarialOptions(StudyOptions):
    """AdversarialVAE, by default as published.

    The defaults give 50,000 steps, and a validation every 1,000 steps.
    """

    batch_size: int = option(64, "rows in a step", minimum=2, maximum=1_000_000)
    epochs: int = option(50, "passes over --epoch-rows of the training rows", minimum=1)
    epoch_rows: int | None = option(64_000, _EPOCH_ROWS, minimum=2)
    latent: int = option(128, "size of z", minimum=1, maximum=4096)
    hidden: int = option(1024, "width of the recurrent layers", minimum=2, maximum=16_384)
    clip_norm: float = option(1.0, "maximum norm of a model's gradient; 0: no limit", minimum=0)
    kl_weight: float = option(0.1, "weight of the KL divergence", minimum=0)
    kl_over: str = option("mean", "over dimensions of z: their mean KL, as published, or sum", choices=("mean", "sum"))
    adversary_weight: float = option(0.1, "weight of the loss against the classifier", minimum=0)
    classes: int = option(8, "equally frequent classes of an attribute, if it has so many values", minimum=2)
    sampling_k: float = option(1000.0, "steps; how slowly scheduled sampling replaces true tokens", above=0)


@dataclass(frozen=True)
class AttributeOptions(StudyOptions):
    """AttributeVAE."""

    beta: float = option(0.001, "weight of the KL divergence", minimum=0)
    teacher_forcing: float = option(0.5, "share of the steps that decode from the true tokens", minimum=0, maximum=1)
    dropout: float = option(0.0, "dropout between recurrent layers", minimum=0, maximum=0.9)
    adversary_weight: float = option(0.2, "weight of the share of attributes that the adversary predicts", minimum=0)
    adversary_steps: int = option(2, "steps of the adversary per step of the model", minimum=1, maximum=100)
    adversary_rate: float = option(2e-3, "learning rate of the adversary and of the attribute reader", above=0)
    dependence_weight: float = option(2.0, "weight of the distance correlation of attributes and rest of z", minimum=0)
    control_weight: float = option(0.1, "weight of the predicted error when attributes are shuffled", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent <= (n := len(self.attribute_names)):
            raise UserError(f"--latent {self.latent} leaves nothing beside {n} attributes; give it {n + 1} or more")


TRAININGS = {MEASURE_VAE: MeasureOptions, ADVERSARIAL_VAE: AdversarialOptions, ATTRIBUTE_VAE: AttributeOptions}


@dataclass(frozen=True)
class StudyWeightsOptions(CheckedOptions):
    """Weights."""

    weights: Path | None = option(None, "weights file; default: those of your only run, or else the repository's")
    checkpoints: Path = option(Path("checkpoints"), "folder of your runs")
    model: str | None = option(
        None, f"network of your run, or of the repository's weights (default: any run, or else {ATTRIBUTE_VAE})",
        choices=tuple(TRAININGS),
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights and self.model:
            raise UserError("--weights and --model both name a model; leave one out")


@dataclass(frozen=True)
class MelodyOptions(SoundFileOptions, StudyWeightsOptions):
    """Melodies."""

    changes: tuple[str, ...] = option((), "attributes and values, as in note_density=0.6", flag="--set")
    count: int = option(8, "number of melodies", minimum=1, maximum=100_000)
    measures: int = option(1, "measures of a melody", minimum=1, maximum=10_000)
    correlation: float = option(
        0.9, "correlation of the latents of neighbouring measures: 0 unrelated, 1 equal", minimum=0, maximum=1
    )
    source: Path | None = option(None, "file of a melody to change, instead of new ones", flag="--from")
    tune: int = option(1, "position of the tune in that file, from 1", minimum=1)
    guess_melody: bool = option(False, "extract the melody from a MIDI file of several parts")
    seed: int = option(0, "seed of z of new melodies", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        unused = self.changed(_OF_NEW if self.source else _OF_SOURCE)
        if unused:
            remedy = "is for new melodies; leave out it or --from" if self.source else "needs --from"
            raise UserError(f"{flag_of(unused[0])} {remedy}")
        if self.count * self.measures > _MAX_MEASURES:
            product = f"--count {self.count} times --measures {self.measures}"
            raise UserError(f"{product} must be at most {_MAX_MEASURES}; generate more with another --seed")

    def changed(self, names: Sequence[str]) -> list[Field[Any]]:
        """The options among `names` that do not have their default value."""
        return [field for field in fields(self) if field.name in names and getattr(self, field.name) != field.default]


@dataclass(frozen=True)
class MapOptions(StudyWeightsOptions):
    """Maps."""

    dimensions: tuple[int, ...] = option((), "two dimensions of z (default: each control and the next)", minimum=0)
    points: int = option(31, "values of each axis", minimum=2, maximum=1001)
    data: Path | None = option(None, "data set of the model, to put the planes through one of its measures")
    measure: int | None = option(None, "position of this measure in the test rows, from 0 (default: 0)", minimum=0)
    output: Path = option(Path("metrics"), "folder for pictures and numbers")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.measure is not None and self.data is None:
            raise UserError("--measure needs --data, the data set whose row it is")


@dataclass(frozen=True)
class RunMetricsOptions(CheckedOptions):
    """Which runs to measure, how, and where the table goes."""

    data: Path = option(Path("measures/irish_folk"), "data set that programs.study_prepare made")
    checkpoints: Path = option(Path("checkpoints"), "folder of the weights")
    runs: Path = option(Path("runs"), "folder of the logs, from which reconstruction efficiency is computed")
    metrics: Path = option(Path("metrics"), "folder for the table")
    sweep_measures: int = option(1000, "test rows that are decoded with each value of each control", minimum=10)
    seed: int = option(0, "of the noise of z and of the choice of rows", minimum=0)
