"""Train and measure the study's grid of models: a table of runs, means over seeds, and three plots.

    python -m programs.study_compare --dry-run                             # list the trainings and which are finished
    python -m programs.study_compare --parts A,B --seeds 1 --jobs 2
    python -m programs.study_compare --parts C --latents 8,32 --train-options='--hidden 64 --epochs 6'
    python -m programs.study_compare --parts jazz --data measures/jazz --measure-options='--epochs 10'
    python -m programs.study_compare --only-tables                         # again from metrics/explainable.csv

The default options are the published recipes, which take long on a CPU. The same command continues where it stopped:
it skips finished trainings, resumes stopped ones, and does not measure weights (by their hash) that are already in
metrics/explainable.csv. A training that fails does not stop the others. Beside that table it writes
explainable_by_{size,attribute,training_set}.csv and the plots, which report.py shows. What our runs say about the
study's claims is in explainable/README.md.
"""

import contextlib
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.device import prepare_process
from common.errors import UserError, run_command
from common.files import check_outputs, hash_of_file, written_atomically
from common.options import CheckedOptions, as_plain, option, parse_options
from common.processes import map_in_processes
from common.text import printable
from evaluation.tables import read_csv
from explainable.attributes import ATTRIBUTES
from explainable.measures import MeasureSet
from explainable.melodies.sources import NAMED_SETS
from explainable.result_tables import (
    ACCURACY_PLOT,
    BY_ATTRIBUTE_TABLE,
    BY_SIZE_TABLE,
    BY_TRAINING_SET_TABLE,
    INDEPENDENCE_PLOT,
    INTERPRETABILITY_PLOT,
    RUNS_TABLE,
)
from explainable.stages import MODELS
from explainable.stages.stage import NAMED_ATTRIBUTES, VAE, StudyOptions, run_place
from explainable.trained import load_vae
from models.checkpoint import read_checkpoint
from models.errors import CheckpointError
from models.weight_files import BEST, LAST
from programs import study_evaluate
from programs.study_train import train_model

SIZES = (4, 8, 16, 32, 64, 128, 256)
TWO, FOUR = NAMED_ATTRIBUTES
PARTS = {
    "A": "MeasureVAE and AdversarialVAE at 128 and 256, Irish folk",
    "B": "MeasureVAE at each size with 2 and 4 attributes, Irish folk",
    "C": "the same on each set of the study",
    "small": "AdversarialVAE at the sizes below 128, Irish folk",
    "improved": "AttributeVAE on each set",
    "size": "MeasureVAE on 1/2, 1/4, 1/8 of Irish folk, and on equally many measures of each set",
    "augmentation": "MeasureVAE on Turkish makam with and without transpositions",
    "jazz": "MeasureVAE at each size on sets that the study did not have",
}
PROGRAM = "python -m programs.study_compare"
DIED = "its process was killed; memory may have run out: fewer --jobs"


@dataclass(frozen=True)
class Options(CheckedOptions):
    """Which models to train, how, how many at once, and where the results go."""

    parts: tuple[str, ...] = option(
        ("A", "B", "C"), "; ".join(f"{name}: {about}" for name, about in PARTS.items()), choices=tuple(PARTS)
    )
    data: tuple[Path, ...] = option(
        tuple(Path("measures") / name for name in NAMED_SETS), "data sets that programs.study_prepare made"
    )
    latents: tuple[int, ...] = option((), "only these sizes of z", minimum=1)
    attributes: tuple[str, ...] = option((), "only these numbers of attributes", choices=(TWO, FOUR))
    models: tuple[str, ...] = option((), "only these models", choices=tuple(MODELS))
    seeds: int = option(3, "trainings of each kind, with seeds 0, 1, ...", minimum=1, maximum=1000)
    train_options: str = option("", "options of every training, as in --train-options='--hidden 64 --epochs 6'")
    measure_options: str = option("", "options of MeasureVAE, which override --train-options")
    adversarial_options: str = option("", "the same for AdversarialVAE")
    attribute_options: str = option("", "the same for AttributeVAE")
    jobs: int = option(1, "trainings, then measurements, at once, each with one thread", minimum=1, maximum=1024)
    sweep_measures: int = option(1000, "test rows that are decoded under each value of each control", minimum=10)
    only_tables: bool = option(False, "only make the tables and plots again")
    checkpoints: Path = option(Path("checkpoints"), "folder for the weights")
    runs: Path = option(Path("runs"), "folder for the logs of the trainings")
    metrics: Path = option(Path("metrics"), "folder for the tables and plots")


def compare(options: Options) -> None:
    """Train and measure the runs, then make the tables and plots.

    Raises `UserError` if the options or data sets cannot be used, and at the end if a run failed.
    """
    outputs = [table.path(options.metrics) for table in (BY_SIZE_TABLE, BY_ATTRIBUTE_TABLE, BY_TRAINING_SET_TABLE)]
    outputs += [options.metrics / name for name in (ACCURACY_PLOT, INTERPRETABILITY_PLOT, INDEPENDENCE_PLOT)]
    check_outputs(outputs)
    if options.only_tables:
        return make_tables(options.metrics)
    runs = list_runs(options)
    RUNS_TABLE.require_addable(options.metrics)
    n_failed = len(runs) - measure_runs(train_runs(runs, options), options)
    if n_failed < len(runs):
        make_tables(options.metrics)
    if n_failed:
        raise UserError(f"{n_failed} of {len(runs)} runs failed, see above; the same command tries them again")


# The grid


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
        wanted, free = as_plain(self.options), MODELS[self.model][1].free_options
        same = all(wanted.get(name) == value for name, value in trained.items() if name not in free)
        same &= content == self.measures_content and epoch >= self.options.epochs
        return same and self.weights().is_file()


def grid(sets: Sequence[MeasureSet]) -> dict[str, list[dict[str, Any]]]:
    """The trainings of each part: options of programs.study_train without the seed, and the model."""
    measure, adversarial, attribute = MODELS
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


def list_runs(options: Options) -> list[Run]:
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
        "model": options.models or tuple(MODELS),
    }
    chosen = [run for part in options.parts for run in parts[part] if all(run[key] in kept[key] for key in kept)]
    if not chosen:
        narrowing = "give more --parts or --data, or drop --latents, --attributes or --models"
        raise UserError(f"no training is left in {', '.join(options.parts)}; {narrowing}")
    unique = {tuple(run.items()): run for run in chosen}.values()
    return [_run({**run, "seed": seed}, sets, options) for seed in range(options.seeds) for run in unique]


def _run(run: dict[str, Any], sets: dict[Path, MeasureSet], options: Options) -> Run:
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
    parsed = parse_options(MODELS[model][0], f"Options of {model}", arguments)
    return Run([model, *arguments], model, parsed, sets[run["data"]].content_hash)


def show_runs(options: Options) -> None:
    """Print each training of the grid as its command, and whether it is finished."""
    for run in list_runs(options):
        state = "finished" if run.is_finished() else "to train"
        print(f"{state}  {shlex.join(['python', '-m', 'programs.study_train', *run.arguments])}")


# Training and measuring


def train_runs(runs: Sequence[Run], options: Options) -> list[Run]:
    """Train the unfinished runs, `jobs` at once; returns all that are then finished.

    When this program is stopped, the trainings save their state before they end.
    """
    unfinished = [run for run in runs if not run.is_finished()]
    print(f"{len(runs)} trainings, {len(runs) - len(unfinished)} of them finished", flush=True)
    failed = set()
    results = map_in_processes(_train, unfinished, options.jobs, died=(DIED, 0.0))
    for number, (run, (trouble, seconds)) in enumerate(zip(unfinished, results, strict=True), 1):
        result = f"failed: {printable(trouble)}" if trouble else f"trained in {seconds:.0f} s"
        print(f"[{number}/{len(unfinished)}] {run.name}: {result}", flush=True)
        if trouble:
            failed.add(run.place)
    return [run for run in runs if run.place not in failed]


def _train(run: Run) -> tuple[str, float]:
    """Train a run without output; returns why it failed, or "", and the seconds."""
    began = time.monotonic()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):  # noqa: PTH123
        try:
            train_model(run.model, run.options)
        except Exception as error:  # whatever it is, the other runs go on
            return str(error) if isinstance(error, UserError) else repr(error), 0.0
    return "", time.monotonic() - began


def measure_runs(runs: Sequence[Run], options: Options) -> int:
    """Add a row to metrics/explainable.csv for each run whose weights have none; returns how many runs have a row."""
    protocol = ("checkpoint_sha256", "sweep_measures", "seed")
    rows_before, measured = RUNS_TABLE.require_addable(options.metrics), set()
    if rows_before is not None:
        measured = set(rows_before.reindex(columns=protocol).itertuples(index=False, name=None))
    seed = study_evaluate.Options().seed
    waiting = [run for run in runs if (hash_of_file(run.weights()), options.sweep_measures, seed) not in measured]
    print(f"{len(runs)} runs to measure, {len(runs) - len(waiting)} of them measured before", flush=True)
    failed = 0
    rows = map_in_processes(partial(_measure, options), waiting, options.jobs, died=DIED)
    for number, (run, row) in enumerate(zip(waiting, rows, strict=True), 1):
        if isinstance(row, dict):
            RUNS_TABLE.add(pd.DataFrame([row]), options.metrics)
        failed += isinstance(row, str)
        result = f"failed: {printable(row)}" if isinstance(row, str) else f"accuracy {row['accuracy']:.4f}"
        print(f"[{number}/{len(waiting)}] {run.name}: {result}", flush=True)
    return len(runs) - failed


def _measure(options: Options, run: Run) -> dict[str, Any] | str:
    """The row of a run, or why there is none."""
    prepare_process(torch.device("cpu"), threads=1)
    wanted = study_evaluate.Options(
        data=run.options.data, sweep_measures=options.sweep_measures,
        checkpoints=options.checkpoints, runs=options.runs, metrics=options.metrics,
    )  # fmt: skip
    try:
        measures = MeasureSet.open(run.options.data)
        return study_evaluate.measure_run(load_vae(run.weights()), measures, wanted)
    except (UserError, CheckpointError) as error:
        return str(error)


# Means over seeds

SETTING = ["data", "model", "controls", "latent"]
ACCURACY, INTERPRETABILITY, CROSS_TALK = "accuracy", "interpretability", "output_independence"
# Leakage into z without an attribute's own control, and into z without any control; the same in the data alone.
LEAKAGE, LEAKAGE_BESIDE_CONTROLS = "latent_independence_nonlinear", "free_independence_nonlinear"
OF_CONTROLS = [INTERPRETABILITY, "r_squared_designated", LEAKAGE, LEAKAGE_BESIDE_CONTROLS, CROSS_TALK]
OF_DATA = ["data_independence_nonlinear", "data_mean", "data_variance"]
CONTROL_MEANS = {
    "control_interpretability": INTERPRETABILITY,
    "control_leakage": LEAKAGE,
    "control_leakage_beside_controls": LEAKAGE_BESIDE_CONTROLS,
    "data_leakage": OF_DATA[0],
}


def make_tables(metrics: Path) -> None:
    """Write the means over seeds of metrics/explainable.csv and their plots; prints their paths.

    A table or plot without rows is removed. Raises `UserError` if explainable.csv is missing or of an older version.
    """
    path = RUNS_TABLE.path(metrics)
    if not path.exists():
        raise UserError(f"{path}: no such table; make it with {PROGRAM}, without --only-tables")
    runs = with_controls(read_csv(path))
    whole = runs[runs["training_measures"].isna() & runs["transposed"]]  # trained on all tunes and transpositions
    *means, of_data = CONTROL_MEANS
    others = ["accuracy_onsets", "accuracy_measures", "floor", "val_accuracy", "val_loss", f"data_{CROSS_TALK}"]
    by_size = over_seeds(whole, SETTING, [ACCURACY, *means, CROSS_TALK], [*others, of_data])

    parts = []  # for each controlled attribute the columns METRIC_ATTRIBUTE as METRIC
    for name in ATTRIBUTES:
        part = whole[whole["attributes"].str.split(",").map(lambda names, name=name: name in names)]
        values = {metric: part.get(f"{metric}_{name}", np.nan) for metric in (*OF_CONTROLS, *OF_DATA)}
        parts.append(part.assign(attribute=name, **values))
    by_attribute = over_seeds(pd.concat(parts, ignore_index=True), [*SETTING, "attribute"], OF_CONTROLS, OF_DATA)

    keys, others = [*SETTING, "training_measures", "transposed"], ["training_rows_untransposed", "training_rows"]
    by_set = over_seeds(runs, keys, [ACCURACY, "control_interpretability"], [*others, "floor"])
    by_set = by_set[by_set.groupby(SETTING)["latent"].transform("size") > 1]  # settings trained on several sets

    for table, frame in ((BY_SIZE_TABLE, by_size), (BY_ATTRIBUTE_TABLE, by_attribute), (BY_TRAINING_SET_TABLE, by_set)):
        if frame.empty:
            table.path(metrics).unlink(missing_ok=True)
        else:
            print(*table.write(frame, metrics), sep="\n")
    panels = ["data", "controls"], "attribute", "model"
    plot(metrics / ACCURACY_PLOT, by_size, [ACCURACY], ["data"], "model", "controls")
    plot(metrics / INTERPRETABILITY_PLOT, by_attribute, [INTERPRETABILITY], *panels)
    plot(metrics / INDEPENDENCE_PLOT, by_attribute, [LEAKAGE, LEAKAGE_BESIDE_CONTROLS, CROSS_TALK], *panels)


def with_controls(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of programs.study_evaluate with more columns.

    controls: "2" or "4", or the names of other attributes. `CONTROL_MEANS`: means over the controlled attributes.
    Interpretability becomes NaN where controls lie outside z, because it is defined for dimensions of z.
    """
    if missing := {"controls_in_z", "training_measures", "transposed", "trained_with"} - {*frame}:
        raise UserError(f"explainable.csv has no column {min(missing)}; make it again with {PROGRAM}")
    outside = frame["controls_in_z"].eq(False)
    frame.loc[outside, [INTERPRETABILITY, *(f"{INTERPRETABILITY}_{name}" for name in ATTRIBUTES)]] = np.nan
    rows = frame.to_dict("records")
    means = {
        mean: [np.mean([row.get(f"{metric}_{name}", np.nan) for name in row["attributes"].split(",")]) for row in rows]
        for mean, metric in CONTROL_MEANS.items()
    }
    numbers = {",".join(names): number for number, names in NAMED_ATTRIBUTES.items()}
    controls = [numbers.get(names, names) for names in frame["attributes"]]
    return frame.join(pd.DataFrame({"controls": controls, **means})).copy()  # one block of memory


def over_seeds(runs: pd.DataFrame, by: list[str], values: list[str], others: list[str]) -> pd.DataFrame:
    """Means of runs that agree in `by`; of `values` also the lowest and highest. Number and options of the runs."""
    ends = (("", "mean"), ("_lowest", "min"), ("_highest", "max"))
    columns = {f"{value}{end}": (value, how) for value in values for end, how in ends}
    columns |= {name: (name, "mean") for name in others} | {"trainings": ("trained_with", "size")}
    columns["trained_with"] = "trained_with", lambda each: "; ".join(sorted(each.unique()))
    return runs.groupby(by, dropna=False).agg(**columns).reset_index()


# Plots

LABELS = {column.key: column.heading for column in BY_ATTRIBUTE_TABLE.columns} | {ACCURACY: "accuracy of test tokens"}
# Line and marker. A setting with a single size of z shows as a marker only.
LOOKS = (("-", "o"), ("--", "^"), (":", "s"), ("-.", "D"))
PANEL_INCHES, LEGEND_INCHES, PANELS_A_LINE = (3.4, 2.7), 0.8, 4


def plot(path: Path, table: pd.DataFrame, values: list[str], apart: list[str], color_by: str, dash_by: str) -> None:
    """Plot each of `values` against the size of z: a panel for each group of the columns `apart`.

    Lines are means over seeds, bands their ranges. The file is removed if there is nothing to plot.
    """
    table = table.assign(controls=table["controls"] + " controls")
    groups = [[(value, *group) for group in table.dropna(subset=[value]).groupby(apart)] for value in values]
    lines = [group[first : first + PANELS_A_LINE] for group in groups for first in range(0, len(group), PANELS_A_LINE)]
    if not lines:
        return path.unlink(missing_ok=True)
    colors = {name: f"C{number}" for number, name in enumerate(sorted(table[color_by].unique()))}
    looks = dict(zip(sorted(table[dash_by].unique()), LOOKS, strict=False))
    n_columns = max(map(len, lines))
    size = n_columns * PANEL_INCHES[0], len(lines) * PANEL_INCHES[1] + LEGEND_INCHES
    # Distinguishable with any kind of dichromacy. Without pyplot, so that no display is needed.
    with style.context("tableau-colorblind10"), written_atomically(path) as file:
        figure = Figure(size, dpi=150, layout="constrained")
        for axes, line in zip(figure.subplots(len(lines), n_columns, squeeze=False), lines, strict=True):
            for axis, (value, key, rows) in zip(axes, line, strict=False):
                _draw(axis, value, rows, {color_by: colors, dash_by: looks})
                axis.set_title(", ".join(map(str, key)), fontsize=9, parse_math=False)
            for axis in axes[len(line) :]:
                axis.set_visible(False)
        entries = [Line2D([], [], color=color, label=name) for name, color in colors.items()]
        entries += [
            Line2D([], [], color="black", linestyle=dash, marker=marker, markersize=4, label=name)
            for name, (dash, marker) in looks.items()
        ]
        if ACCURACY in values:
            entries.append(Line2D([], [], color="grey", linewidth=0.8, label="always hold"))
        n_legend = min(len(entries), 2 * n_columns)
        figure.legend(handles=entries, loc="outside lower center", ncols=n_legend, frameon=False, fontsize=8)
        figure.savefig(file, format="png")
    print(path)


def _draw(axis: Axes, value: str, rows: pd.DataFrame, styles: dict[str, dict[Any, Any]]) -> None:
    (color_by, colors), (dash_by, looks) = styles.items()
    for (color, dash), line in rows.sort_values("latent").groupby([color_by, dash_by]):
        shade, (kind, marker) = colors[color], looks[dash]
        axis.plot(line["latent"], line[value], color=shade, linestyle=kind, marker=marker, markersize=4, linewidth=1.3)
        axis.fill_between(line["latent"], line[f"{value}_lowest"], line[f"{value}_highest"], color=shade, alpha=0.18)
    if value == ACCURACY:
        for floor in rows["floor"].unique():
            axis.axhline(floor, color="grey", linewidth=0.8)
    else:  # shares, on one scale so that panels compare
        axis.set_ylim(min(-0.03, rows[f"{value}_lowest"].min() - 0.03), 1.03)
    sizes = sorted(rows["latent"].unique())
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, sizes)
    axis.tick_params(axis="x", which="minor", length=0, labelbottom=False)
    axis.tick_params(labelsize=7)
    axis.set_xlabel("dimensions of z", fontsize=8)
    axis.set_ylabel(LABELS[value], fontsize=8)
    axis.grid(axis="y", linewidth=0.4)


if __name__ == "__main__":
    run_command(lambda: compare(parse_options(Options, __doc__, dry_run=show_runs)), CheckpointError)
