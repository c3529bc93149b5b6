"""A folder of MIDI and its labels -> a roll store."""

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
from common.splits import SPLITS
from common.text import printable
from data.labels import Labels, read_labels
from data.midi_files import find_files
from data.reading import read_songs
from data.song import FRAMES_PER_SECOND
from data.song_names import song_key
from data.splits import assign_splits, split_warnings, versions_hint
from data.store import STORE, WINDOW_LENGTHS, RollStore, SongRow
from data.store_writer import StoreWriter

# Raise it when the same file would give another roll, other notes or another split.
_READER_VERSION = 2
_NAMES_SHOWN = 5
_NAMES_IN_SUMMARY = 20


@dataclass(frozen=True)
class Settings:
    """What, beside the files, decides the content of a store."""

    max_minutes: float = 60.0
    frames_per_second: int = FRAMES_PER_SECOND
    format_version: int = STORE.format_version
    reader_version: int = _READER_VERSION


@dataclass(frozen=True, eq=False)
class _Inputs:
    """All that a store is made from: labels, the file of every row of their table (None: missing), and why."""

    labels: Labels
    files: list[Path | None]
    problems: list[str]
    warnings: list[str]
    settings: Settings
    record: dict[str, Any] | None

    def hash(self) -> str:
        """Hash of everything the store depends on; a file counts by its size and time of change."""
        stats = [file.stat() if file else None for file in self.files]
        table = self.labels.table.assign(
            size=[stat.st_size if stat else -1 for stat in stats],
            changed=[stat.st_mtime_ns if stat else -1 for stat in stats],
            problem=self.problems,
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
    settings: Settings = Settings(),
    workers: int | None = None,
    rebuild: bool = False,
    progress: bool = True,
) -> tuple[RollStore, bool]:
    """Make the roll store `folder` out of the MIDI files below `midi_dir` that `labels_csv` lists.

    `genres` names the genre ids in order; without it the CSV's genre column does; `genre_column` makes them from the
    names in another column. Rows with less than `min_confidence` stay out. Files that cannot enter are listed in
    rejected.csv. Returns the store, and whether it was made now (False: it was there, whole, and files, labels and
    settings are unchanged since). What the user should know stands in the store's `info["warnings"]`. The old store
    stays in place until the new one is complete.

    Raises `UserError` where the labels are unusable, a genre has no training song, the folder holds something else, or
    another process is making the same store.
    """
    if not midi_dir.is_dir():
        raise UserError(f"{midi_dir}: no such folder; see --midi-dir")
    labels = read_labels(labels_csv, genre_column=genre_column, names=genres, min_confidence=min_confidence)
    inputs = _gather(midi_dir, labels_csv, labels, allow_outside, settings)
    inputs_hash = inputs.hash()
    STORE.require_place(folder)
    if not rebuild and not STORE.has_unfinished(folder):
        unchanged = _unchanged(folder, inputs_hash)
        if unchanged:
            return unchanged, False
    with STORE.locked(folder):
        unchanged = None if rebuild else _unchanged(folder, inputs_hash)
        if unchanged:
            return unchanged, False
        with STORE.being_written(folder) as unfinished:
            _write_store(unfinished, inputs, inputs_hash, workers, progress)
        return RollStore.open(folder), True


def _gather(midi_dir: Path, labels_csv: Path, labels: Labels, allow_outside: bool, settings: Settings) -> _Inputs:
    paths = labels.table["path"].tolist()
    found = find_files(paths, midi_dir, allow_outside=allow_outside)
    if not any(found.files):
        raise UserError(
            f"{midi_dir}: none of the files that {labels_csv} lists is there, for example {paths[0]} "
            f"({found.problems[0]}); see {'--allow-outside' if 'leads out' in found.problems[0] else '--midi-dir'}"
        )
    record, warnings = _record_of(labels_csv)
    warnings = [*labels.warnings, *found.warnings, *warnings]
    return _Inputs(labels, found.files, found.problems, warnings, settings, record)


def _record_of(labels_csv: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """What label_data.py wrote beside a CSV of how it was made, if that is the CSV as it is now, and warnings."""
    path = labels_csv.with_suffix(".json")
    try:
        told = json.loads(path.read_bytes())
        if told["csv_sha256"] == hash_of_file(labels_csv):
            return {name: told[name] for name in ("files_of_source", "second_opinion")}, []
    except FileNotFoundError:
        return None, []
    except (OSError, ValueError, KeyError, TypeError):
        return None, [f"{path.name} is no record of labels: left out"]
    return None, [f"{path.name} is of {labels_csv.name} as it was before it was changed: left out"]


def _unchanged(folder: Path, inputs_hash: str) -> RollStore | None:
    """The store in `folder` if it is made from these inputs and undamaged to the last byte."""
    try:
        store = RollStore.open(folder)
        if store.info["inputs_hash"] != inputs_hash:
            return None
        store.verify()
    except UserError:
        return None
    return store


def _write_store(folder: Path, inputs: _Inputs, inputs_hash: str, workers: int | None, progress: bool) -> None:
    labels = inputs.labels
    writer = StoreWriter(folder)
    try:
        songs, unreadable = _read_all(writer, inputs, workers, progress)
        warnings = _divide(songs, labels)
        absent = labels.table[["path"]].assign(reason=inputs.problems)[[file is None for file in inputs.files]]
        rejected = pd.concat([labels.rejected, absent, unreadable], ignore_index=True)
        names = labels.names
        if labels.made_ids:
            songs, names, left_out, more = _leave_out_untrained(songs, labels)
            rejected, warnings = pd.concat([rejected, left_out], ignore_index=True), [*warnings, *more]
        _require_training_songs(songs, names, rejected)
        columns = list(SongRow.__dataclass_fields__)
        told = songs[columns].astype(object)
        told["confidence"] = told["confidence"].where(songs["confidence"].notna(), None)
        rows = [SongRow(*row) for row in told.itertuples(index=False, name=None)]
        info = {
            "condition": labels.condition,
            "genres": names,
            "frames_per_second": inputs.settings.frames_per_second,
            "settings": asdict(inputs.settings),
            "inputs_hash": inputs_hash,
            "accepted": len(rows),
            "rejected": len(rejected),
            "warnings": [*inputs.warnings, *warnings],
            "labels": inputs.record,
            "numpy": np.__version__,
        }
        writer.finish(rows, info, rejected)
    finally:
        writer.abandon()


def _read_all(
    writer: StoreWriter, inputs: _Inputs, workers: int | None, progress: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read all files into the store's arrays: the table of songs, still without splits, and of files rejected."""
    settings = inputs.settings
    present = inputs.labels.table[[file is not None for file in inputs.files]]
    results = read_songs(
        [file for file in inputs.files if file is not None],
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
        n_frames, n_notes = len(result.song.frames), len(result.song.pitch)
        stored[row] = (result.content_hash, frame_offset, n_frames, note_offset, n_notes)
    columns = ["content_hash", "frame_offset", "n_frames", "note_offset", "n_notes"]
    songs = present.join(pd.DataFrame.from_dict(stored, orient="index", columns=columns), how="inner")
    return songs, pd.DataFrame(rejected, columns=["path", "reason"])


def _divide(songs: pd.DataFrame, labels: Labels) -> list[str]:
    """Give each song its split and the key of its versions, in place; returns warnings."""
    named = zip(songs["artist"], songs["title"], songs["genre_id"], songs["content_hash"], strict=True)
    # A song without a name is its content.
    songs["key"] = [song_key(artist, title, labels.names[genre]) or content for artist, title, genre, content in named]
    keys, contents = songs["key"].tolist(), songs["content_hash"].tolist()
    songs["split"] = assign_splits(keys, contents, [split or None for split in songs["split"]])
    return split_warnings(songs["path"].tolist(), keys, contents, songs["split"].tolist())


def _leave_out_untrained(
    songs: pd.DataFrame, labels: Labels
) -> tuple[pd.DataFrame, list[str], pd.DataFrame, list[str]]:
    """Leave out the names that no training song has, and number the others anew.

    With names as the condition, such as composers, there are always some with one or two songs. Returns the songs that
    remain, their names, what is rejected, and warnings. What the others have in the arrays stays there, unused.
    """
    trained = sorted(set(songs["genre_id"][songs["split"] == "train"]))
    names = [labels.names[genre_id] for genre_id in trained]
    out = songs[~songs["genre_id"].isin(trained)]
    left_out = out[["path"]].assign(reason=f"no training song of this {labels.condition}")
    songs = songs[songs["genre_id"].isin(trained)]
    songs = songs.assign(genre_id=songs["genre_id"].map({genre_id: new for new, genre_id in enumerate(trained)}))
    without = [name for name in labels.names if name not in set(names)]
    if not without:
        return songs, names, left_out, []
    shown = ", ".join(without[:_NAMES_SHOWN]) + (", ..." if len(without) > _NAMES_SHOWN else "")
    warning = f"{len(without)} of the {len(labels.names)} names in column {labels.condition} have no training song, "
    return songs, names, left_out, [f"{warning}so they and their {len(out)} songs are left out: {shown}"]


def _require_training_songs(songs: pd.DataFrame, names: list[str], rejected: pd.DataFrame) -> None:
    trained = set(songs["genre_id"][songs["split"] == "train"])
    empty = [genre_id for genre_id in range(len(names)) if genre_id not in trained]
    if not empty and trained:
        return
    own = songs[songs["genre_id"].isin(empty)]
    reasons = Counter(reason.split(" (line")[0] for reason in rejected["reason"])
    why = f" ({len(rejected)} files were rejected, most often: {reasons.most_common(1)[0][0]})" if reasons else ""
    hint = versions_hint(own["path"].tolist(), own["key"].tolist())
    told = ", ".join(names[genre_id] for genre_id in empty[:_NAMES_SHOWN]) or "any name"
    raise UserError(
        f"no training song for {told}{why}{hint or '; add files of that genre, or take its id out of the labels'}"
    )


def summary(store: RollStore) -> str:
    """Songs, and windows for each T, per genre and split, as a table in text; of many genres the sums alone."""
    names = [printable(name) for name in store.genres]
    genre = store.genre_of_song
    if len(names) > _NAMES_IN_SUMMARY:
        names, genre = [f"{len(names)} names"], np.zeros_like(genre)
    songs = pd.DataFrame({"genre": genre, "split": [song.split for song in store.songs], "songs": 1})
    for seq_len in WINDOW_LENGTHS:
        songs[f"T={seq_len}"] = [song.n_frames // seq_len for song in store.songs]
    every = pd.MultiIndex.from_product([range(len(names)), SPLITS], names=["genre", "split"])
    table = songs.groupby(["genre", "split"]).sum().reindex(every, fill_value=0)
    width = max(15, len(store.condition), *map(len, names)) + 1
    lines = [f"{printable(store.condition):<{width}}{'split':<7}" + "".join(f"{name:>10}" for name in table.columns)]
    for (genre_id, split), numbers in zip(table.index, table.to_numpy().tolist(), strict=True):
        numbers_text = "".join(f"{number:>10,}" for number in numbers)
        lines.append(f"{names[genre_id]:<{width}}{split:<7}{numbers_text}")
    lines.append(f"{store.info['accepted']:,} files accepted, {store.info['rejected']:,} rejected")
    return "\n".join(lines)
