"""Does the genre matter? Results with genres as given beside those of models trained with genres at random.

    python -m evaluation.compare_labels                              # metrics/ against metrics/shuffled/
    python -m evaluation.compare_labels --seq-lens 32 --metrics demo/metrics --checkpoints demo/checkpoints

Reads what eval_fad_samples.py, eval_elbo.py and eval_genre.py left in both folders, and names the commands for what is
missing. Writes metrics/labels.csv, one row for each T, measure and genre, genre_id -1 for all.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError, run_command
from common.options import CheckedOptions, option, parse_options
from data.store import GIVEN, SHUFFLED, WINDOW_LENGTHS
from evaluation.label_comparison import Missing, compare_tables
from evaluation.tables import Row, format_table, write_table


@dataclass(frozen=True)
class Options(CheckedOptions):
    """Options of this command."""

    metrics: Path = option(Path("metrics"), "folder of the tables; those of shuffled labels are in shuffled below it")
    seq_lens: tuple[int, ...] = option(WINDOW_LENGTHS, "frames in a clip", choices=WINDOW_LENGTHS)
    store: Path = option(Path("store"), "roll store, for the commands that make what is missing")
    checkpoints: Path = option(Path("checkpoints"), "folder of the trained weights, for these commands")


COLUMNS = {
    "measure": "measure",
    "genre_name": "genre",
    "given": "given",
    "shuffled": "shuffled",
    "difference": "difference",
    "limit": "real",
    "trivial": "trivial",
}
LEGEND = """\
given, shuffled: the labels in training; both are measured with the labels as given, on the same windows and seeds.
difference: shuffled - given, of one training run each, whose own spread it does not show. real: what real clips reach
(FAD, KAD: real against real). trivial: chance, or each pitch's rate."""


def compare_labels(options: Options) -> list[Row]:
    """Compare, print and write the table; returns its rows. Raises `UserError` where there is nothing to compare."""
    folders = {GIVEN: options.metrics, SHUFFLED: options.metrics / SHUFFLED}
    comparison = compare_tables(folders, options.seq_lens)
    if not comparison.rows:
        raise UserError(
            f"{options.metrics}: no table is there for both labels; run eval_fad_samples.py, eval_elbo.py or "
            f"eval_genre.py with --metrics {options.metrics}, and with --metrics {folders[SHUFFLED]} "
            f"--checkpoints {options.checkpoints / SHUFFLED}"
        )
    for seq_len in dict.fromkeys(row["T"] for row in comparison.rows):
        print(f"T = {seq_len}")
        print(format_table([row for row in comparison.rows if row["T"] == seq_len], COLUMNS), end="\n\n")
    print(LEGEND)
    if comparison.missing:
        commands = dict.fromkeys(command_for(missing, options) for missing in comparison.missing)
        print("Not compared, because one side or both are missing; these commands make them:", *commands, sep="\n    ")
    path = options.metrics / "labels.csv"
    write_table(path, comparison.rows)
    print(path)
    return comparison.rows


def command_for(missing: Missing, options: Options) -> str:
    """The command line that makes a missing table."""
    below = () if missing.labels == GIVEN else (missing.labels,)
    places = {name: getattr(options, name).joinpath(*below) for name in ("checkpoints", "metrics")}
    # A table with rows of several T is written as a whole.
    lengths = (missing.seq_len,) if "{T}" in missing.table.file else options.seq_lens
    flag = "--seq-len" if missing.table.script == "eval_elbo.py" else "--seq-lens"
    words = ["python", missing.table.script, "--store", options.store]
    words += ["--checkpoints", places["checkpoints"], "--metrics", places["metrics"], flag, ",".join(map(str, lengths))]
    return shlex.join(map(str, words))


if __name__ == "__main__":
    run_command(lambda: compare_labels(parse_options(Options, __doc__)))
