"""Train the study's grid of models, measure them, and hold its claims against the figures: tables, verdicts, plots.

    python -m programs.study_compare --dry-run                             # lists the trainings, and what is finished
    python -m programs.study_compare --parts A,B --seeds 1 --jobs 2
    python -m programs.study_compare --parts C --latents 8,32 --train-options='--hidden 64 --epochs 6'
    python -m programs.study_compare --parts jazz --data measures/jazz --measure-options='--epochs 10'
    python -m programs.study_compare --only-tables                         # again from metrics/explainable.csv

The defaults are the published recipes, which are long on a CPU. Finished trainings are skipped and stopped ones go on,
so the same command takes up the work wherever it ended; a training that fails does not end the others. Runs whose
weights are in metrics/explainable.csv are not measured again. Beside that table go explainable_verdicts.csv,
explainable_by_{size,attribute,training_set}.csv and plots; report.py shows them.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from common.device import prepare_process
from common.errors import UserError, run_command
from common.files import hash_of_file
from common.options import option, parse_options
from common.processes import map_in_processes
from common.text import printable
from evaluation.tables import read_csv
from explainable.comparison.grid import (
    GridOptions,
    Run,
    is_finished,
    list_runs,
    train_words,
    trouble_with_measures,
    weights_of,
)
from explainable.comparison.plots import comparison_panels, save_comparison_plots
from explainable.comparison.tables import (
    BY_ATTRIBUTE_TABLE,
    BY_SIZE_TABLE,
    BY_TRAINING_SET_TABLE,
    by_attribute,
    by_size,
    by_training_set,
    runs_with_controls,
)
from explainable.comparison.verdicts import NOT_TESTED, VERDICT_TABLE, judge_claims
from explainable.measures import MeasureSet
from explainable.trained import load_measures_model
from models.checkpoint import CheckpointError
from programs import study_evaluate as evaluate

HERE = Path(__file__).resolve().parents[1]
_POLL_SECONDS = 0.2
_DIED = "its process was killed; memory may have run out: fewer --jobs"


@dataclass(frozen=True)
class Options(GridOptions):
    """Which trainings, how many at once, and where the results go."""

    jobs: int = option(1, "trainings, and then measurements, at once, each with one thread", minimum=1, maximum=1024)
    metrics: Path = option(Path("metrics"), "folder for the tables and plots")
    sweep_measures: int = option(1000, "test rows that are decoded under each value of each control", minimum=10)
    only_tables: bool = option(False, "train and measure nothing")


def compare(options: Options) -> pd.DataFrame:
    """Train, measure, make tables and plots; returns the verdicts.

    Raises `UserError` where something cannot begin, and at the end where some of the runs failed.
    """
    if options.only_tables:
        return make_tables(options.metrics)
    listed = list_runs(options)
    outdated = {run: told for run in listed if (told := trouble_with_measures(run, options))}
    runs = [run for run in listed if run not in outdated]
    unfinished = [run for run in runs if not is_finished(run, options)]
    print(f"{len(listed)} trainings, {len(runs) - len(unfinished)} of them finished", flush=True)
    for told in outdated.values():
        print(told, flush=True)
    untrained = train_runs(
        unfinished, options.jobs, lambda run: Training(train_command(run, options)), partial(_name, options)
    )
    n_failed = len(untrained) + measure_runs([run for run in runs if run not in untrained], options)
    failures = []
    if n_failed:
        failures.append(f"{n_failed} of {len(listed)} runs failed, as told above; the same command tries them again")
    if outdated:
        failures.append(f"{len(outdated)} of {len(listed)} runs are of other measures; the lines above tell the remedy")
    failure = UserError(". ".join(failures))
    if n_failed == len(runs):
        raise failure
    verdicts = make_tables(options.metrics)
    if failures:
        raise failure
    return verdicts


def show_runs(options: Options) -> None:
    """Print each training of the grid as its command, and which are finished, or why one cannot be trained."""
    for run in list_runs(options):
        trouble = trouble_with_measures(run, options)
        told = "finished  " if is_finished(run, options) else "to train  "
        print(trouble or told + shlex.join(["python", *train_command(run, options)[1:]]))


def train_command(run: Run, options: GridOptions) -> list[str]:
    """The words that train a run."""
    return [sys.executable, "-m", "programs.study_train", *train_words(run, options)]


def _name(options: GridOptions, run: Run) -> str:
    return "/".join(weights_of(run, options).parts[-3:-1])


# Training


class Training:
    """A command that runs; what it says of its troubles is kept."""

    def __init__(self, command: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # read when the command has ended
        paths = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
        # In a session of its own, so that Ctrl-C reaches it once, through this program.
        self._process = subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=self._errors, start_new_session=True,
        )  # fmt: skip

    def ended(self) -> bool:
        return self._process.poll() is not None

    def trouble(self) -> str:
        """Why it failed, in a line, once it has ended; nothing where it did not."""
        code = self._process.returncode
        if code == 0:
            return ""
        if code < 0:
            return _DIED if code == -signal.SIGKILL else f"killed by signal {-code}"
        self._errors.seek(0)
        lines = re.split(r"[\r\n]", self._errors.read().decode(errors="replace"))
        return printable(next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {code}"))

    def stop(self) -> None:
        """Ask it to save its state and to end."""
        self._process.terminate()

    def wait(self) -> None:
        self._process.wait()


def train_runs(
    runs: Sequence[Run], jobs: int, start: Callable[[Run], Training], name: Callable[[Run], str] = str
) -> dict[Run, str]:
    """Train the runs, `jobs` at once, in their order; returns why those failed that did.

    Each end is told in a line. Where this program is stopped, the trainings are, and it waits until they have ended.
    """
    waiting, running, failed = list(reversed(runs)), {}, {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop()
                running[run] = start(run), time.monotonic()
            for run, (training, began) in list(running.items()):
                if training.ended():
                    del running[run]
                    if trouble := training.trouble():
                        failed[run] = trouble
                    told = f"failed: {trouble}" if trouble else f"trained in {time.monotonic() - began:.0f} s"
                    print(f"[{len(runs) - len(waiting) - len(running)}/{len(runs)}] {name(run)}: {told}", flush=True)
            time.sleep(_POLL_SECONDS if running else 0)
    finally:
        for training, _ in running.values():
            training.stop()
        for training, _ in running.values():
            training.wait()
    return failed


# Measuring


def measure_runs(runs: Sequence[Run], options: Options) -> int:
    """Add a row to metrics/explainable.csv for each run that has none of its weights; returns how many failed."""
    table = evaluate.TABLE.path(options.metrics)
    done = _measured(read_csv(table)) if table.exists() else set()
    waiting = [run for run in runs if (hash_of_file(weights_of(run, options)), *_protocol(options)) not in done]
    print(f"{len(runs)} runs to measure, {len(runs) - len(waiting)} of them measured before", flush=True)
    failed = 0
    items = [(run.data, weights_of(run, options)) for run in waiting]
    rows = map_in_processes(partial(_measure, options), items, options.jobs, died=_DIED)
    for place, (run, row) in enumerate(zip(waiting, rows, strict=True), 1):
        if isinstance(row, str):
            failed += 1
        else:
            evaluate.TABLE.add(pd.DataFrame([row]), options.metrics)
        told = f"failed: {printable(row)}" if isinstance(row, str) else f"accuracy {row['accuracy']:.4f}"
        print(f"[{place}/{len(waiting)}] {_name(options, run)}: {told}", flush=True)
    return failed


def _measured(frame: pd.DataFrame) -> set[tuple[Any, ...]]:
    """Weights and protocols of the rows; none where they are of an earlier version, which did not tell them."""
    columns = ["checkpoint_sha256", *_PROTOCOL]
    return set(frame[columns].itertuples(index=False, name=None)) if {*columns} <= {*frame} else set()


_PROTOCOL = ("sweep_measures", "seed")


def _protocol(options: Options) -> tuple[int, ...]:
    asked = evaluate.Options(sweep_measures=options.sweep_measures)
    return tuple(getattr(asked, name) for name in _PROTOCOL)


def _measure(options: Options, item: tuple[Path, Path]) -> dict[str, Any] | str:
    """The row of a run, or why there is none."""
    data, weights = item
    prepare_process(torch.device("cpu"), threads=1)
    places = {"checkpoints": options.checkpoints, "runs": options.runs, "metrics": options.metrics}
    asked = evaluate.Options(data=data, sweep_measures=options.sweep_measures, **places)
    try:
        return evaluate.measure_run(load_measures_model(weights), MeasureSet.open(data), asked)
    except (UserError, CheckpointError) as error:
        return str(error)


# Tables


def make_tables(metrics: Path) -> pd.DataFrame:
    """Sum up metrics/explainable.csv: tables, verdicts and plots; prints and returns the verdicts.

    Raises `UserError` where the table is not there, or none.
    """
    path = evaluate.TABLE.path(metrics)
    if not path.exists():
        raise UserError(f"{path}: no such table; make it with python -m programs.study_compare, without --only-tables")
    runs = runs_with_controls(read_csv(path))
    tables = {
        BY_SIZE_TABLE: by_size(runs),
        BY_ATTRIBUTE_TABLE: by_attribute(runs),
        BY_TRAINING_SET_TABLE: by_training_set(runs),
        VERDICT_TABLE: judge_claims(runs),
    }
    *summed, verdicts = tables.values()
    is_tested = verdicts["verdict"] != NOT_TESTED
    for row in verdicts[is_tested].to_dict("records"):
        print(f"{row['verdict']}: {row['claim']}\n    {printable(row['figures'])}")
    print(f"{(~is_tested).sum()} of {len(verdicts)} claims not tested, the table says why")
    for table, frame in tables.items():
        if frame.empty:
            table.path(metrics).unlink(missing_ok=True)
        else:
            print(table.write(frame, metrics))
    for picture in save_comparison_plots(metrics, comparison_panels(*summed)):
        print(picture)
    return verdicts


if __name__ == "__main__":
    run_command(lambda: compare(parse_options(Options, __doc__, dry_run=show_runs)), CheckpointError)
