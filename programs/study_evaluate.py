"""Measure trained models of the study on the test tunes of their data set: one table, a row per run.

    python -m programs.study_evaluate --data measures/irish_folk
    python -m programs.study_evaluate --data measures/bach --runs my_runs --checkpoints my_weights

Measures every run on the data set below --checkpoints with sampled z and the decoder running freely, as in the study;
columns with `_of_mean` use the posterior mean. Rows of other data sets in metrics/explainable.csv are kept.
"""

from typing import TYPE_CHECKING

from common.errors import UserError, run_command
from common.options import parse_options
from explainable.options import RunMetricsOptions
from models.errors import CheckpointError

if TYPE_CHECKING:
    import pandas as pd


def evaluate_models(options: RunMetricsOptions) -> "pd.DataFrame":
    """Measure all runs on a data set; returns the table. Raises `UserError` or `CheckpointError`."""
    import pandas as pd

    from evaluation.tables import format_table
    from explainable.measures import MeasureSet
    from explainable.metrics.run_metrics import measure_run
    from explainable.result_tables import RUNS_TABLE
    from explainable.trained import load_vae, run_weights
    from models.weight_files import STUDY

    measures = MeasureSet.open(options.data)
    paths = run_weights(options.checkpoints, options.data)
    if not paths:
        folder = options.checkpoints / STUDY / options.data.name
        raise UserError(f"{folder}: no trained model there; train one with python -m programs.study_train")
    RUNS_TABLE.require_addable(options.metrics)
    rows = [measure_run(load_vae(path), measures, options) for path in paths]
    frame = RUNS_TABLE.add(pd.DataFrame(rows), options.metrics)
    print(format_table(frame[frame["data"] == measures.name], RUNS_TABLE.columns))
    print(RUNS_TABLE.path(options.metrics))
    return frame


if __name__ == "__main__":
    run_command(lambda: evaluate_models(parse_options(RunMetricsOptions, __doc__)), CheckpointError)
