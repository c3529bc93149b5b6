"""Train and measure the trainings of a grid, several at once."""

import contextlib
import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch

from common.device import prepare_process
from common.errors import UserError
from common.files import check_outputs, hash_of_file
from common.processes import map_in_processes
from common.text import printable
from explainable.comparison.grid import Run, list_runs
from explainable.comparison.options import CompareOptions
from explainable.comparison.tables import make_tables
from explainable.measures import MeasureSet
from explainable.metrics.run_metrics import measure_run
from explainable.options import RunMetricsOptions
from explainable.result_tables import (
    ACCURACY_PLOT,
    BY_ATTRIBUTE_TABLE,
    BY_SIZE_TABLE,
    BY_TRAINING_SET_TABLE,
    INDEPENDENCE_PLOT,
    INTERPRETABILITY_PLOT,
    RUNS_TABLE,
)
from explainable.stages import STAGES
from explainable.trained import load_vae
from models.errors import CheckpointError
from training.loop import train

DIED = "its process was killed; memory may have run out: fewer --jobs"


def compare_runs(options: CompareOptions) -> None:
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


def train_runs(runs: Sequence[Run], options: CompareOptions) -> list[Run]:
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
            if not train(STAGES[run.model](run.options)):
                return f"stopped after --max-hours {run.options.max_hours:g}", 0.0
        except Exception as error:  # whatever it is, the other runs go on
            return str(error) if isinstance(error, UserError) else repr(error), 0.0
    return "", time.monotonic() - began


def measure_runs(runs: Sequence[Run], options: CompareOptions) -> int:
    """Add a row to metrics/explainable.csv for each run whose weights have none; returns how many runs have a row."""
    protocol = ("checkpoint_sha256", "sweep_measures", "seed")
    rows_before, measured = RUNS_TABLE.require_addable(options.metrics), set()
    if rows_before is not None:
        measured = set(rows_before.reindex(columns=protocol).itertuples(index=False, name=None))
    seed = RunMetricsOptions().seed
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


def _measure(options: CompareOptions, run: Run) -> dict[str, Any] | str:
    """The row of a run, or why there is none."""
    prepare_process(torch.device("cpu"), threads=1)
    wanted = RunMetricsOptions(
        data=run.options.data, sweep_measures=options.sweep_measures,
        checkpoints=options.checkpoints, runs=options.runs, metrics=options.metrics,
    )  # fmt: skip
    try:
        measures = MeasureSet.open(run.options.data)
        return measure_run(load_vae(run.weights()), measures, wanted)
    except (UserError, CheckpointError) as error:
        return str(error)
