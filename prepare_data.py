"""Turn a folder of MIDI files and a label CSV into a roll store, which all later stages read.

    python prepare_data.py --midi-dir lmd/clean_midi --labels labels.csv --store store
    python prepare_data.py --builtin --store store        # real music that comes with the music21 package

The CSV needs the columns path (below --midi-dir) and genre_id (0, 1, ...); genre, artist, title and split are used
where present. Running it again does nothing while files, labels and settings are unchanged. Files that cannot be
used are listed with the reason in rejected.csv inside the store; the others are not affected.
"""

import argparse
import math
import time
from pathlib import Path

from common.errors import UserError, run_command
from common.options import Parser
from data.prepare import Settings, prepare_store, summary


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--midi-dir", type=Path, help="folder the paths in the CSV start from (default: the CSV's)")
    parser.add_argument("--labels", type=Path, help="label CSV")
    parser.add_argument("--store", type=Path, default=Path("store"), help="folder to write (default: %(default)s)")
    parser.add_argument("--genres", help="names of genre 0, 1, ..., with commas (default: the CSV's genre column)")
    parser.add_argument("--builtin", action="store_true", help="use scores that the music21 package ships")
    parser.add_argument("--all", action="store_true", help="with --builtin: every score, not a balanced part of them")
    parser.add_argument(
        "--max-minutes", type=float, default=60.0, help="reject longer files, in minutes (default: %(default)g)"
    )
    parser.add_argument("--workers", type=int, help="processes that read files (default: one a core)")
    parser.add_argument("--rebuild", action="store_true", help="make the store anew even if nothing has changed")
    options = parser.parse_args(arguments)
    if options.builtin == (options.labels is not None):
        parser.error("give either --labels CSV or --builtin")
    if options.all and not options.builtin:
        parser.error("--all goes with --builtin")
    if options.genres is not None:
        options.genres = [name.strip() for name in options.genres.split(",")]
        if "" in options.genres or len(set(options.genres)) < len(options.genres):
            parser.error("--genres must be different names with commas")
    if not 0 < options.max_minutes < math.inf:
        parser.error("--max-minutes must be above 0")
    if options.workers is not None and options.workers < 1:
        parser.error("--workers must be at least 1")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    started = time.perf_counter()
    labels, midi_dir = options.labels, options.midi_dir
    if options.builtin:
        from data.builtin import export_builtin_corpus

        midi_dir = options.store.with_name(options.store.name + "_midi")
        labels = export_builtin_corpus(midi_dir, full=options.all, workers=options.workers)
    midi_dir = midi_dir or labels.parent
    if not midi_dir.is_dir():
        raise UserError(f"--midi-dir {midi_dir}: no such folder")
    store, made = prepare_store(
        midi_dir,
        labels,
        options.store,
        genres=options.genres,
        settings=Settings(max_minutes=options.max_minutes),
        workers=options.workers,
        rebuild=options.rebuild,
    )
    print(summary(store))
    if not made:
        print(f"{options.store}: nothing changed, nothing done")
        return
    if store.info["rejected"]:
        print(f"rejected files and reasons: {options.store / 'rejected.csv'}")
    print(f"{options.store}: made anew in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    run_command(main)
