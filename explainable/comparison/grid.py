"""The trainings of the study, part by part."""

import shlex
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import UserError
from common.options import as_plain, parse_options
from explainable.comparison.options import FOUR, TWO, CompareOptions
from explainable.measures import MeasureSet
from explainable.melodies.named_sets import NAMED_SETS
from explainable.options import TRAININGS, StudyOptions
from explainable.stages import STAGES
from explainable.stages.stage import VAE, run_place
from models.checkpoint import read_checkpoint
from models.errors import CheckpointError
from models.weight_files import BEST, LAST

SIZES = (4, 8, 16, 32, 64, 128, 256)


class Run(NamedTuple):
    """A training: the arguments of programs.study_train, the options they give, and the hash of its data set."""

    arguments: list[str]
    model: str
    options: StudyOptions
    measures_content: str

    @property
    def place(self) -> Path:
        return run_place(self.model, self.options)

    @property
    def name(self) -> str:
        """DATA/RUN."""
        return "/".join(self.place.parts[-2:])

    def weights(self, which: str = BEST) -> Path:
        return self.options.checkpoints / self.place / f"{VAE}_{which}.pth"

    def is_finished(self) -> bool:
        """Whether the last epoch is trained, on this data set and with these options, and its weights exist."""
        try:
            facts = read_checkpoint(self.weights(LAST))["facts"]
            trained, epoch, content = facts["options"], facts["epoch"], facts["measures_content"]
        except (CheckpointError, KeyError):
            return False
        wanted, free = as_plain(self.options), STAGES[self.model].free_options
        same = all(wanted.get(name) == value for name, value in trained.items() if name not in free)
        same &= content == self.measures_content and epoch >= self.options.epochs
        return same and self.weights().is_file()


def grid(sets: Sequence[MeasureSet]) -> dict[str, list[dict[str, Any]]]:
    """The trainings of each part: options of programs.study_train without the seed, and the model."""
    measure, adversarial, attribute = TRAININGS
    irish = next((own for own in sets if own.name == "irish_folk"), sets[0])
    n_training = {own.name: len(own.rows("train")) * own.form.measures for own in sets}
    fewest = min(n_training.values())

    def runs(
        models: Sequence[str], sets: Sequence[MeasureSet], sizes: Sequence[int], numbers: Sequence[str] = (FOUR,),
        **more: object,
    ) -> list[dict[str, Any]]:  # fmt: skip
        return [
            {"model": model, "data": own.folder, "latent": size, "attributes": number, **more}
            for own, size, number, model in product(sets, sizes, numbers, models)
        ]

    both = (TWO, FOUR)
    makam = [own for own in sets if own.name == "turkish_makam"]
    larger = [own for own in sets if n_training[own.name] > fewest]
    shares = [n_training[irish.name] // share for share in (2, 4, 8)]
    return {
        "A": runs([measure, adversarial], [irish], (128, 256)),
        "B": runs([measure], [irish], SIZES, both),
        "C": runs([measure], [own for own in sets if own.name in NAMED_SETS], SIZES, both),
        "small": runs([adversarial], [irish], SIZES[:-2]),
        "improved": runs([attribute], sets, (32, 64, 128, 256)),
        "size": runs([measure], sets, (32,))
        + [run for most in shares for run in runs([measure], [irish], (32,), training_measures=most)]
        + runs([measure], larger, (32,), training_measures=fewest),
        "augmentation": runs([measure], makam, (32, 64)) + runs([measure], makam, (32, 64), transposed=False),
        "jazz": runs([measure], [own for own in sets if own.name not in NAMED_SETS], SIZES, both),
    }


def list_runs(options: CompareOptions) -> list[Run]:
    """The trainings of the chosen parts, each once; those with seed 0 come first.

    Raises `UserError` if a data set cannot be used or nothing is left to train.
    """
    sets = {folder: MeasureSet.open(folder) for folder in options.data}
    if len({folder.name for folder in options.data}) < len(options.data):
        raise UserError("--data: two folders of the same name would share the folders of their runs; rename one")
    if len({own.name for own in sets.values()}) < len(sets):
        raise UserError("--data: two sets of the same name would share rows of the table; compare each by itself")
    parts = grid(list(sets.values()))
    kept = {
        "latent": options.latents or SIZES,
        "attributes": options.attributes or (TWO, FOUR),
        "model": options.models or tuple(TRAININGS),
    }
    chosen = [run for part in options.parts for run in parts[part] if all(run[key] in kept[key] for key in kept)]
    if not chosen:
        narrowing = "give more --parts or --data, or drop --latents, --attributes or --models"
        raise UserError(f"no training is left in {', '.join(options.parts)}; {narrowing}")
    unique = {tuple(run.items()): run for run in chosen}.values()
    return [_run({**run, "seed": seed}, sets, options) for seed in range(options.seeds) for run in unique]


def _run(run: dict[str, Any], sets: dict[Path, MeasureSet], options: CompareOptions) -> Run:
    model, arguments = run.pop("model"), ["--threads", "1"]
    for name in ("train_options", f"{model.removesuffix('_vae')}_options"):
        try:
            arguments += shlex.split(getattr(options, name))
        except ValueError as error:
            raise UserError(f"--{name.replace('_', '-')}: {str(error).lower()}; check its quotes") from error
    # The last value of an option counts, so the grid's own come last.
    for name, value in {**run, "checkpoints": options.checkpoints, "runs": options.runs}.items():
        flag = name.replace("_", "-")
        arguments += [f"--no-{flag}"] if value is False else [f"--{flag}", str(value)]
    parsed = parse_options(TRAININGS[model], f"Options of {model}", arguments)
    return Run([model, *arguments], model, parsed, sets[run["data"]].content_hash)


def show_trainings(options: CompareOptions) -> None:
    """Print each training of the grid as its command, and whether it is finished."""
    for run in list_runs(options):
        state = "finished" if run.is_finished() else "to train"
        print(f"{state}  {shlex.join(['python', '-m', 'programs.study_train', *run.arguments])}")
