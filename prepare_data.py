"""Make a roll store, which all later stages read, from a folder of MIDI files and their labels.

    python prepare_data.py --labels midi --store store    # a folder with a folder of files for each genre
    python prepare_data.py --midi-dir lmd/clean_midi --labels labels.csv --store store
    python prepare_data.py --midi-dir lmd/clean_midi --labels labels.csv --genre-column composer
    python prepare_data.py --builtin --store store        # real music that comes with the music21 package

The CSV needs the columns path (below --midi-dir) and genre_id (0, 1, ...). The columns genre, artist, title, split,
source and confidence, as label_data.py writes them, are optional. With --genre-column, the names in that column are the
condition, and genre_id is not needed. Unusable files are listed with the reason in rejected.csv inside the store.

Several jobs read a corpus together, each a shard of the files, for example the tasks of a Slurm array. Shards are
written beside the store, in store_shards. The merged store equals that of a single run byte for byte.

    python prepare_data.py --midi-dir midi --labels labels.csv --shard 1/2
    python prepare_data.py --midi-dir midi --labels labels.csv --shard 2/2
    python prepare_data.py --midi-dir midi --labels labels.csv --merge 2

A second run does nothing while files, labels and settings are unchanged and the store is undamaged.
"""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError, run_command
from common.options import CheckedOptions, option, parse_options
from common.text import printable

# Other imports stand where they are used, because the worker processes that read MIDI files import this file.


@dataclass(frozen=True)
class Options(CheckedOptions):
    """Options of `prepare_data`."""

    midi_dir: Path | None = option(None, "folder of the paths in the CSV (default: the folder of the CSV)")
    labels: Path | None = option(None, "label CSV, or a folder with a folder for each genre")
    store: Path = option(Path("store"), "folder to write")
    genres: tuple[str, ...] = option((), "names of genre 0, 1, ... (default: the CSV's column genre)")
    genre_column: str | None = option(None, "column of names to condition on, for example composer")
    min_confidence: float | None = option(None, "leave out rows with a lower confidence", minimum=0, maximum=1)
    allow_outside: bool = option(False, "allow paths and links that lead out of --midi-dir")
    builtin: bool = option(False, "use the scores in the music21 package")
    all: bool = option(False, "with --builtin: all scores, not a balanced selection")
    max_minutes: float = option(60.0, "longest file, in minutes", above=0)
    workers: int | None = option(None, "processes that read files (default: one a core)", minimum=1, maximum=1024)
    rebuild: bool = option(False, "make the store even if nothing has changed")
    shard: str | None = option(None, "read only part K of N of the files, written K/N")
    merge: int | None = option(None, "make the store from as many shards", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.builtin == (self.labels is not None):
            raise UserError("give either --labels or --builtin")
        if self.all and not self.builtin:
            raise UserError("--all goes with --builtin")
        if self.genres and self.genre_column:
            raise UserError("give either --genres or --genre-column: a column brings its names")
        if self.builtin and (self.shard or self.merge):
            raise UserError("--shard and --merge go with --labels")
        if self.shard and self.merge:
            raise UserError("give either --shard, for each shard, or --merge, once all are made")
        if self.shard is not None:
            self.shard_and_count()

    def shard_and_count(self) -> tuple[int, int]:
        """Return K and N of `shard`. Raises `UserError` where it is no K/N."""
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", self.shard or "")
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise UserError(f"--shard must be K/N with K from 1 to N, such as 1/8, but is {self.shard}")
        return number, count


def prepare_data(options: Options) -> None:
    """Make the store, or a shard of it, and print a summary. Raises `UserError` as `prepare_store` does."""
    from data.prepare import prepare_store, summary
    from data.shards import prepare_shard
    from data.store_inputs import StoreSettings, read_inputs

    started = time.perf_counter()
    labels, midi_dir = options.labels, options.midi_dir
    if labels is None:
        from data.builtin import export_builtin_corpus

        midi_dir = options.store.with_name(options.store.name + "_midi")
        labels = export_builtin_corpus(midi_dir, full=options.all, workers=options.workers)
    inputs = read_inputs(
        midi_dir or (labels if labels.is_dir() else labels.parent),
        labels,
        genres=[name.strip() for name in options.genres] or None,
        genre_column=options.genre_column,
        min_confidence=options.min_confidence,
        allow_outside=options.allow_outside,
        settings=StoreSettings(max_minutes=options.max_minutes),
    )
    making = {"workers": options.workers, "rebuild": options.rebuild}
    if options.shard:
        number, count = options.shard_and_count()
        place, results, made = prepare_shard(inputs, options.store, number, count, **making)
        rejected = sum(isinstance(result, str) for result in results)
        print(f"{len(results):,} of {len(inputs.files):,} files, {rejected:,} of them rejected")
    else:
        store, made = prepare_store(inputs, options.store, merge=options.merge, **making)
        place = options.store
        print(summary(store))
        for warning in store.info["warnings"]:
            print(f"note: {printable(warning)}")
        if made and store.info["rejected"]:
            print(f"rejected files and reasons: {place / 'rejected.csv'}")
    done = f"made anew in {time.perf_counter() - started:.1f} s" if made else "nothing changed, nothing done"
    print(f"{place}: {done}")


if __name__ == "__main__":
    run_command(lambda: prepare_data(parse_options(Options, __doc__)))
