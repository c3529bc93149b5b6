"""Make a roll store from a folder of MIDI files and a label CSV."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from common.errors import UserError
from common.files import hash_of_file
from common.processes import end_if_imported_by_worker
from common.splits import SPLITS
from common.text import printable
from data.labels import Labels, read_labels
from data.midi_files import FoundFiles, find_files
from data.reading import read_songs
from data.song import FRAMES_PER_SECOND
from data.splits import assign_splits, song_key, split_warnings, versions_hint
from data.store import STORE, RollStore
from data.store_writer import StoreWriter
from data.window_lengths import WINDOW_LENGTHS

# Increase it when the same file would give another roll, other notes or another split.
_READER_VERSION = 2
_NAMES_SHOWN = 5
_NAMES_IN_SUMMARY = 20


@dataclass(frozen=True)
class StoreSettings:
    """Settings that decide the content of a store, given its files."""

    max_minutes: float = 60.0
    frames_per_second: int = FRAMES_PER_SECOND
    format_version: int = STORE.format_version
    reader_version: int = _READER_VERSION


@dataclass(frozen=True, eq=False)
class _Inputs:
    """All inputs of a store: labels, the files of the rows of their table, and how the labels were made, or None."""

    labels: Labels
    found: FoundFiles
    warnings: list[str]
    settings: StoreSettings
    record: dict[str, Any] | None

    def hash(self) -> str:
        """Return a hash of all inputs; files count by size and time of change."""
        stats = [file.stat() if file else None for file in self.found.files]
        table = self.labels.table.assign(
            size=[stat.st_size if stat else -1 for stat in stats],
            changed=[stat.st_mtime_ns if stat else -1 for stat in stats],
            problem=self.found.problems,
        )
        facts = [asdict(self.settings), self.labels.names, self.labels.condition, self.warnings, self.record]
        digest = hashlib.sha256(json.dumps(facts).encode())
        for part in (table, self.labels.rejected):
            digest.update(part.to_csv(index=False).encode())
        return digest.hexdigest()[:16]


def prepare_store(
    midi_dir: Path,
    labels_csv: Path,
    folder: Path,
    *,
    genres: Sequence[str] | None = None,
    genre_column: str | None = None,
    min_confidence: float | None = None,
    allow_outside: bool = False,
    settings: StoreSettings = StoreSettings(),
    workers: int | None = None,
    rebuild: bool = False,
    progress: bool = True,
) -> tuple[RollStore, bool]:
    """Make the roll store `folder` from the MIDI files below `midi_dir` that `labels_csv` lists.

    For `genres`, `genre_column` and `min_confidence` see `read_labels`. Files that are left out are listed in
    rejected.csv, warnings for the user in `info["warnings"]`. An earlier store stays until the new one is complete.

    Returns the store, and whether it was made now: a whole store with unchanged files, labels and settings is kept,
    unless `rebuild`.

    Raises `UserError` where the labels are unusable, a genre has no training song, the folder holds something else, or
    another process is making the same store.
    """
    end_if_imported_by_worker()
    if not midi_dir.is_dir():
        raise UserError(f"{midi_dir}: no such folder; see --midi-dir")
    labels = read_labels(labels_csv, genre_column=genre_column, names=genres, min_confidence=min_confidence)
    paths = labels.table["path"].tolist()
    found = find_files(paths, midi_dir, allow_outside=allow_outside)
    if not any(found.files):
        raise UserError(
            f"{midi_dir}: none of the files that {labels_csv} lists is there, for example {paths[0]} "
            f"({found.problems[0]}); see {'--allow-outside' if 'leads out' in found.problems[0] else '--midi-dir'}"
        )
    record, warnings = _record_of(labels_csv)
    warnings = [*labels.warnings, *found.warnings, *warnings]
    inputs = _Inputs(labels, found, warnings, settings, record)
    inputs_hash = inputs.hash()
    STORE.require_place(folder)
    if not rebuild and not STORE.has_unfinished(folder) and (unchanged := _unchanged(folder, inputs_hash)):
        return unchanged, False
    with STORE.locked(folder):
        if not rebuild and (unchanged := _unchanged(folder, inputs_hash)):
            return unchanged, False
        with STORE.being_written(folder) as unfinished:
            writer = StoreWriter(unfinished)
            try:
                _write_store(writer, inputs, inputs_hash, workers, progress)
            finally:
                writer.abandon()
        return RollStore.open(folder), True


def _record_of(labels_csv: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the record that label_data.py wrote beside the CSV, None if missing or outdated, and warnings."""
    path = labels_csv.with_suffix(".json")
    try:
        record = json.loads(path.read_bytes())
        if record["csv_sha256"] == hash_of_file(labels_csv):
            return {name: record[name] for name in ("files_of_source", "second_opinion")}, []
    except FileNotFoundError:
        return None, []
    except (OSError, ValueError, KeyError, TypeError):
        return None, [f"{path.name} is no record of labels: left out"]
    return None, [f"{path.name} is of {labels_csv.name} as it was before it was changed: left out"]


def _unchanged(folder: Path, inputs_hash: str) -> RollStore | None:
    """Return the store in `folder` if it was made from these inputs and all its bytes are intact."""
    try:
        store = RollStore.open(folder)
        if store.info["inputs_hash"] != inputs_hash:
            return None
        store.verify()
    except UserError:
        return None
    return store


def _write_store(writer: StoreWriter, inputs: _Inputs, inputs_hash: str, workers: int | None, progress: bool) -> None:
    labels, names = inputs.labels, inputs.labels.names
    songs, unreadable = _read_all(writer, inputs, workers, progress)
    warnings = _divide(songs, labels)
    absent = labels.table[["path"]].assign(reason=inputs.found.problems)[[file is None for file in inputs.found.files]]
    rejected = [labels.rejected, absent, unreadable]
    if labels.made_ids:
        trained = songs["genre_id"].isin(songs["genre_id"][songs["split"] == "train"])
        rejected.append(songs[["path"]][~trained].assign(reason=f"no training song of this {labels.condition}"))
        songs, names, warning = _number_anew(songs, trained, labels)
        warnings += warning
    all_rejected = pd.concat(rejected, ignore_index=True)
    _require_training_songs(songs, names, all_rejected)
    info = {
        "condition": labels.condition,
        "genres": names,
        "frames_per_second": inputs.settings.frames_per_second,
        "settings": asdict(inputs.settings),
        "inputs_hash": inputs_hash,
        "accepted": len(songs),
        "rejected": len(all_rejected),
        "warnings": [*inputs.warnings, *warnings],
        "labels": inputs.record,
        "numpy": np.__version__,
    }
    writer.finish(songs, info, all_rejected)


def _read_all(
    writer: StoreWriter, inputs: _Inputs, workers: int | None, progress: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read all files into the store's arrays. Returns the table of songs, still without splits, and rejected files."""
    settings = inputs.settings
    present = inputs.labels.table[[file is not None for file in inputs.found.files]]
    results = read_songs(
        [file for file in inputs.found.files if file is not None],
        min_frames=WINDOW_LENGTHS[0],
        max_minutes=settings.max_minutes,
        frames_per_second=settings.frames_per_second,
        workers=workers,
    )
    stored: dict[int, tuple[str, int, int, int, int]] = {}
    rejected: list[tuple[str, str]] = []
    bar = tqdm(zip(present.index, results, strict=True), "reading", len(present), unit=" files", disable=not progress)
    for row, result in bar:
        if isinstance(result, str):
            rejected.append((present.at[row, "path"], result))
            continue
        frame_offset, note_offset = writer.append(result.song)
        stored[row] = (
            result.content_hash, frame_offset, len(result.song.frames), note_offset, len(result.song.pitch)
        )  # fmt: skip
    columns = ["content_hash", "frame_offset", "n_frames", "note_offset", "n_notes"]
    songs = present.join(pd.DataFrame.from_dict(stored, orient="index", columns=columns), how="inner")
    return songs, pd.DataFrame(rejected, columns=["path", "reason"])


def _divide(songs: pd.DataFrame, labels: Labels) -> list[str]:
    """Give each song its split and, in `key`, the key of its versions, in place; returns warnings."""
    named = zip(songs["artist"], songs["title"], songs["genre_id"], songs["content_hash"], strict=True)
    # A song without a name is identified by its content.
    songs["key"] = [song_key(artist, title, labels.names[genre]) or content for artist, title, genre, content in named]
    keys, contents = songs["key"].tolist(), songs["content_hash"].tolist()
    songs["split"] = assign_splits(keys, contents, [split or None for split in songs["split"]])
    return split_warnings(songs["path"].tolist(), keys, contents, songs["split"].tolist())


def _number_anew(songs: pd.DataFrame, trained: pd.Series, labels: Labels) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Keep the `trained` songs and number their names anew; returns songs, names and warnings.

    Where the condition is a name such as a composer, there are always some without a training song. Frames and notes
    of the other songs stay in the arrays, unused.
    """
    kept = songs[trained]
    ids = sorted(set(kept["genre_id"]))
    kept = kept.assign(genre_id=kept["genre_id"].map({genre_id: new for new, genre_id in enumerate(ids)}))
    without = [name for genre_id, name in enumerate(labels.names) if genre_id not in ids]
    names = [labels.names[genre_id] for genre_id in ids]
    if not without:
        return kept, names, []
    shown = ", ".join(without[:_NAMES_SHOWN]) + (", ..." if len(without) > _NAMES_SHOWN else "")
    warning = f"{len(without)} of the {len(labels.names)} names in column {labels.condition} have no training song, "
    return kept, names, [f"{warning}so they and their {len(songs) - len(kept)} songs are left out: {shown}"]


def _require_training_songs(songs: pd.DataFrame, names: list[str], rejected: pd.DataFrame) -> None:
    trained = set(songs["genre_id"][songs["split"] == "train"])
    empty = [genre_id for genre_id in range(len(names)) if genre_id not in trained]
    if trained and not empty:
        return
    own = songs[songs["genre_id"].isin(empty)]
    reasons = Counter(reason.split(" (line")[0] for reason in rejected["reason"])
    why = f" ({len(rejected)} files were rejected, most often: {reasons.most_common(1)[0][0]})" if reasons else ""
    hint = versions_hint(own["path"].tolist(), own["key"].tolist())
    untrained = ", ".join(names[genre_id] for genre_id in empty[:_NAMES_SHOWN]) or "any name"
    raise UserError(
        f"no training song for {untrained}{why}{hint or '; add files of that genre, or take its id out of the labels'}"
    )


def summary(store: RollStore) -> str:
    """Return a text table of songs, and windows of each T, by genre and split; only by split if there are many."""
    names, genre = [printable(name) for name in store.genres], store.genre_of_song
    if len(names) > _NAMES_IN_SUMMARY:
        names, genre = [f"{len(names)} names"], np.zeros_like(genre)
    songs = pd.DataFrame({"genre": genre, "split": [song.split for song in store.songs], "songs": 1})
    for seq_len in WINDOW_LENGTHS:
        songs[f"T={seq_len}"] = [song.n_frames // seq_len for song in store.songs]
    rows = pd.MultiIndex.from_product([range(len(names)), SPLITS])
    table = songs.groupby(["genre", "split"]).sum().reindex(rows, fill_value=0)
    width = max(15, len(store.condition), *map(len, names)) + 1
    lines = [f"{printable(store.condition):<{width}}{'split':<7}" + "".join(f"{name:>10}" for name in table.columns)]
    for (genre_id, split), numbers in zip(table.index, table.to_numpy().tolist(), strict=True):
        lines.append(f"{names[genre_id]:<{width}}{split:<7}" + "".join(f"{number:>10,}" for number in numbers))
    return "\n".join([*lines, f"{store.info['accepted']:,} files accepted, {store.info['rejected']:,} rejected"])
