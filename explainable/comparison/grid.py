"""The trainings of the study's experiments and of the questions that it leaves open, in parts to choose from."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path

from common.errors import UserError
from common.options import CheckedOptions, as_plain, option, parse_options
from explainable.measures import MeasureSet
from explainable.melodies.sources import NAMED_SETS
from explainable.stages.stage import NAMED_ATTRIBUTES, VAE, ExplainableOptions, run_place
from models.checkpoint import CheckpointError, read_checkpoint
from models.study.adversarial_vae import AdversarialVAE
from models.study.measure_vae import MeasureVAE
from models.weight_files import BEST, LAST
from programs.study_train import MODELS

IRISH, MAKAM = "irish_folk", "turkish_makam"
TWO, FOUR = NAMED_ATTRIBUTES
SIZES = (4, 8, 16, 32, 64, 128, 256)
COMPARED_SIZES = (128, 256)
RECOMMENDED = (32, 64)
SHARES = (2, 4, 8)  # a half of the training measures, a quarter, an eighth
STUDIED = (MeasureVAE.network, AdversarialVAE.network)


@dataclass(frozen=True)
class Run:
    """A training. `attributes` as `programs.study_train` takes them; `measures_content` is the hash of `data`."""

    model: str
    data: Path
    latent: int
    attributes: str
    training_measures: int | None = None
    transposed: bool = True
    seed: int = 0
    measures_content: str = ""


@dataclass(frozen=True)
class DataSet:
    """What the grid has to know of a data set: its folder, its name, its training measures, and its content's hash."""

    folder: Path
    name: str
    training_measures: int
    content: str

    @classmethod
    def open(cls, folder: Path) -> "DataSet":
        """Raises `UserError` where there is none, or one that is damaged."""
        measures = MeasureSet.open(folder)
        training_measures = len(measures.rows("train")) * measures.form.measures
        return cls(folder, measures.name, training_measures, measures.content_hash)


def part_a(sets: Sequence[DataSet]) -> Iterator[Run]:
    for size in COMPARED_SIZES:
        yield from (Run(model, _irish(sets).folder, size, FOUR) for model in STUDIED)


def part_b(sets: Sequence[DataSet]) -> Iterator[Run]:
    for size in SIZES:
        yield from (Run(MeasureVAE.network, _irish(sets).folder, size, attributes) for attributes in (TWO, FOUR))


def part_c(sets: Sequence[DataSet]) -> Iterator[Run]:
    yield from _all_sizes([own for own in sets if own.name in NAMED_SETS])


def part_small(sets: Sequence[DataSet]) -> Iterator[Run]:
    small = [size for size in SIZES if size not in COMPARED_SIZES]
    yield from (Run(AdversarialVAE.network, _irish(sets).folder, size, FOUR) for size in small)


def part_improved(sets: Sequence[DataSet]) -> Iterator[Run]:
    for model in (model for model in MODELS if model not in STUDIED):
        for size in (*RECOMMENDED, *COMPARED_SIZES):
            yield from (Run(model, own.folder, size, FOUR) for own in sets)


def part_size(sets: Sequence[DataSet]) -> Iterator[Run]:
    size, irish = RECOMMENDED[0], _irish(sets)
    for own in sets:
        yield Run(MeasureVAE.network, own.folder, size, FOUR)
    for share in SHARES:
        yield Run(MeasureVAE.network, irish.folder, size, FOUR, irish.training_measures // share)
    fewest = min(own.training_measures for own in sets)
    for own in sets:
        if own.training_measures > fewest:
            yield Run(MeasureVAE.network, own.folder, size, FOUR, fewest)


def part_augmentation(sets: Sequence[DataSet]) -> Iterator[Run]:
    for own in sets:
        if own.name == MAKAM:
            for size in RECOMMENDED:
                yield from (
                    Run(MeasureVAE.network, own.folder, size, FOUR, transposed=transposed)
                    for transposed in (True, False)
                )


def part_jazz(sets: Sequence[DataSet]) -> Iterator[Run]:
    yield from _all_sizes([own for own in sets if own.name not in NAMED_SETS])


def _irish(sets: Sequence[DataSet]) -> DataSet:
    """Irish folk, which the study compares its models on; without it, the first of the sets."""
    return next((own for own in sets if own.name == IRISH), sets[0])


def _all_sizes(sets: Sequence[DataSet]) -> Iterator[Run]:
    for own in sets:
        for size in SIZES:
            yield from (Run(MeasureVAE.network, own.folder, size, attributes) for attributes in (TWO, FOUR))


PARTS: dict[str, tuple[str, Callable[[Sequence[DataSet]], Iterator[Run]]]] = {
    "A": ("both models at 128 and 256, Irish folk", part_a),
    "B": ("MeasureVAE at each size with 2 and 4 attributes, Irish folk", part_b),
    "C": ("the same on each set of the study", part_c),
    "small": ("AdversarialVAE at the sizes below 128, Irish folk", part_small),
    "improved": ("models that the study did not have", part_improved),
    "size": ("MeasureVAE on 1/2, 1/4, 1/8 of Irish folk, and on as many measures of each set", part_size),
    "augmentation": ("MeasureVAE on Turkish makam without transpositions", part_augmentation),
    "jazz": ("MeasureVAE at each size on sets that the study did not have", part_jazz),
}


@dataclass(frozen=True)
class _GridOptions(CheckedOptions):
    """Which trainings, and how they train."""

    parts: tuple[str, ...] = option(
        ("A", "B", "C"), "; ".join(f"{name}: {about}" for name, (about, _) in PARTS.items()), choices=tuple(PARTS)
    )
    data: tuple[Path, ...] = option(
        tuple(Path("measures") / name for name in NAMED_SETS), "folders of measures that programs.study_prepare made"
    )
    latents: tuple[int, ...] = option((), "of the parts' sizes of z these alone", minimum=1)
    attributes: tuple[str, ...] = option((), "of the parts' numbers of attributes these alone", choices=(TWO, FOUR))
    models: tuple[str, ...] = option((), "of the parts' models these alone", choices=tuple(MODELS))
    seeds: int = option(3, "trainings of each kind, with seeds 0, 1, ...", minimum=1, maximum=1000)
    checkpoints: Path = option(Path("checkpoints"), "folder for the weights")
    runs: Path = option(Path("runs"), "folder for the logs of the trainings")
    train_options: str = option(
        "", "options of every training but those that tell the runs apart, in quotes and after =, as in "
        "--train-options='--hidden 64 --epochs 6'",
    )  # fmt: skip


def _name_of_options(model: str) -> str:
    return f"{model.removesuffix('_vae')}_options"


# Each model that can be trained has options of its own: measure_options, adversarial_options, ...
GridOptions = make_dataclass(
    "GridOptions",
    [(_name_of_options(model), str, option("", f"more options for {model}, which win")) for model in MODELS],
    bases=(_GridOptions,),
    frozen=True,
)


def list_runs(options: _GridOptions) -> list[Run]:
    """The trainings of the chosen parts, each once; those with seed 0 come first.

    Raises `UserError` where a data set cannot be used, or where nothing is left.
    """
    sets = [DataSet.open(folder) for folder in options.data]
    if len({own.folder.name for own in sets}) < len(sets):
        raise UserError("--data: two folders of the same name would share the folders of their runs; rename one")
    if len({own.name for own in sets}) < len(sets):
        raise UserError("--data: two sets of the same name would share rows of the table; compare each by itself")
    wanted = {"latent": options.latents, "attributes": options.attributes, "model": options.models}
    runs = [
        run
        for part in options.parts
        for run in PARTS[part][1](sets)
        if all(not kept or getattr(run, name) in kept for name, kept in wanted.items())
    ]
    if not runs:
        raise UserError(
            f"no training is left in {', '.join(options.parts)}; give more --parts or --data, or drop "
            "--latents, --attributes or --models"
        )
    content = {own.folder: own.content for own in sets}
    return [
        replace(run, seed=seed, measures_content=content[run.data])
        for seed in range(options.seeds)
        for run in dict.fromkeys(runs)
    ]


def train_words(run: Run, options: _GridOptions) -> list[str]:
    """The words after `python -m programs.study_train`. Raises `UserError` where given options cannot be read."""
    words = ["--threads", "1"]
    for name in ("train_options", _name_of_options(run.model)):
        try:
            words += shlex.split(getattr(options, name))
        except ValueError as error:
            raise UserError(f"--{name.replace('_', '-')}: {str(error).lower()}; mend its quotes") from error
    # Last, because what is given last wins.
    words += ["--data", str(run.data), "--latent", str(run.latent), "--attributes", run.attributes]
    words += ["--seed", str(run.seed), "--checkpoints", str(options.checkpoints), "--runs", str(options.runs)]
    words += [] if run.training_measures is None else ["--training-measures", str(run.training_measures)]
    words += [] if run.transposed else ["--no-transposed"]
    return [run.model, *words]


def trained_options(run: Run, options: _GridOptions) -> ExplainableOptions:
    """The options that a run is trained with; a wrong one ends the program as it would end the training."""
    model, *words = train_words(run, options)
    return parse_options(MODELS[model][0], f"Options of {model}", words)


def weights_of(run: Run, options: _GridOptions, which: str = BEST) -> Path:
    """Where a run leaves its weights."""
    return options.checkpoints / run_place(run.model, trained_options(run, options)) / f"{VAE}_{which}.pth"


def is_finished(run: Run, options: _GridOptions) -> bool:
    """Whether all epochs are trained, on the same measures and with the same options as far as these matter."""
    given = trained_options(run, options)
    try:
        facts = read_checkpoint(weights_of(run, options, LAST))["facts"]
        told, epoch, content = facts["options"], facts["epoch"], facts["measures_content"]
    except (CheckpointError, KeyError):
        return False
    wanted, free = as_plain(given), MODELS[run.model][1].free_options
    same = all(wanted.get(name) == value for name, value in told.items() if name not in free)
    same &= content == run.measures_content
    return same and epoch >= given.epochs and weights_of(run, options).is_file()


def trouble_with_measures(run: Run, options: _GridOptions) -> str:
    """Why a run can neither go on nor be measured: its data set was made again, with other content; else nothing.

    Where the training is to begin anew, with --restart, there is no trouble.
    """
    given, weights = trained_options(run, options), weights_of(run, options)
    try:
        content = read_checkpoint(weights)["facts"]["measures_content"]
    except (CheckpointError, KeyError):
        return ""
    if given.restart or content == run.measures_content:
        return ""
    return (
        f"{weights.parent}: trained on other measures than {run.data} now holds; name other folders with "
        f"--checkpoints and --runs, or delete this one and {options.runs / run_place(run.model, given)}"
    )
