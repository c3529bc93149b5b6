"""Does the genre matter? Results with genres as given beside those of models trained with genres at random.

    python -m programs.compare_labels                   # metrics/ against metrics/shuffled/
    python -m programs.compare_labels --seq-len 32 --metrics demo/metrics --checkpoints demo/checkpoints

Reads what eval_fad_samples.py, eval_elbo.py and eval_genre.py left in both folders, and names the commands for what is
missing. Writes metrics/labels.csv, one row for each T, measure and genre, genre_id -1 for all.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.errors import UserError, run_command
from common.options import CheckedOptions, option, parse_options
from data.store import GIVEN, SHUFFLED, WINDOW_LENGTHS
from evaluation.metrics.label_comparison import LABELS_TABLE, AbsentTable, compare_tables
from evaluation.tables import format_table


@dataclass(frozen=True)
class Options(CheckedOptions):
    """Options of this command."""

    metrics: Path = option(Path("metrics"), "folder of the tables; those of shuffled labels are in shuffled below it")
    seq_lens: tuple[int, ...] = option(WINDOW_LENGTHS, "frames in a clip", choices=WINDOW_LENGTHS, flag="--seq-len")
    store: Path = option(Path("store"), "roll store, for the commands that make what is missing")
    checkpoints: Path = option(Path("checkpoints"), "folder of the trained weights, for these commands")


LEGEND = """\
labels as given, at random: in training; both are measured with the labels as given, on the same windows and seeds.
difference: at random - as given, of one training run each, whose own spread it does not show. real clips: what they
reach (FAD, KAD: real against real). trivial: chance, or each pitch's rate."""


def compare_labels(options: Options) -> pd.DataFrame:
    """Compare, print and write the table, and return it. Raises `UserError` where there is nothing to compare."""
    folders = {GIVEN: options.metrics, SHUFFLED: options.metrics / SHUFFLED}
    frame, absent = compare_tables(folders, options.seq_lens)
    if frame.empty:
        raise UserError(
            f"{options.metrics}: no table is there for both labels; run eval_fad_samples.py, eval_elbo.py or "
            f"eval_genre.py with --metrics {options.metrics}, and with --metrics {folders[SHUFFLED]} "
            f"--checkpoints {options.checkpoints / SHUFFLED}"
        )
    for seq_len, rows in frame.groupby("T", sort=False):
        print(f"T = {seq_len}")
        print(format_table(rows, LABELS_TABLE.columns, frame["condition"].iloc[0]), end="\n\n")
    print(LEGEND)
    if absent:
        commands = dict.fromkeys(command_for(table, options) for table in absent)
        print("Not compared, because one side or both are missing; these commands make them:", *commands, sep="\n    ")
    print(LABELS_TABLE.write(frame, options.metrics))
    return frame


def command_for(absent: AbsentTable, options: Options) -> str:
    """The command line that makes a table that is not there."""
    below = () if absent.labels == GIVEN else (absent.labels,)
    places = {name: getattr(options, name).joinpath(*below) for name in ("checkpoints", "metrics")}
    # A table with rows of several T is written as a whole.
    lengths = (absent.seq_len,) if absent.table.of_one_length else options.seq_lens
    words = ["python", *absent.table.program.split(), "--store", options.store, "--checkpoints", places["checkpoints"]]
    words += ["--metrics", places["metrics"], "--seq-len", ",".join(map(str, lengths))]
    return shlex.join(map(str, words))


if __name__ == "__main__":
    run_command(lambda: compare_labels(parse_options(Options, __doc__)))
