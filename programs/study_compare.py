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

from common.errors import run_command
from common.options import parse_options
from explainable.comparison.options import CompareOptions
from models.errors import CheckpointError


def compare(options: CompareOptions) -> None:
    """Train and measure the runs, then make the tables and plots.

    Raises `UserError` if the options or data sets cannot be used, and at the end if a run failed.
    """
    from explainable.comparison.runs import compare_runs

    compare_runs(options)


def show_runs(options: CompareOptions) -> None:
    """Print each training of the grid as its command, and whether it is finished."""
    from explainable.comparison.grid import show_trainings

    show_trainings(options)


if __name__ == "__main__":
    run_command(lambda: compare(parse_options(CompareOptions, __doc__, dry_run=show_runs)), CheckpointError)
