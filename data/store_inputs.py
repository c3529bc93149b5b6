"""What a roll store is made from: labels, the files that they list, and settings."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from common.errors import UserError
from common.files import hash_of_file
from data.labels import Labels, read_labels
from data.midi_files import FoundFiles, find_files
from data.song import FRAMES_PER_SECOND
from data.store import STORE

# Increase it when the same file would give another roll, other notes or another split.
_READER_VERSION = 2


@dataclass(frozen=True)
class StoreSettings:
    """Settings that decide the content of a store, given its files."""

    max_minutes: float = 60.0
    frames_per_second: int = FRAMES_PER_SECOND
    format_version: int = STORE.format_version
    reader_version: int = _READER_VERSION


@dataclass(frozen=True, eq=False)
class StoreInputs:
    """All inputs of a store: labels, the files of the rows of their table, and how the labels were made, or None."""

    labels: Labels
    found: FoundFiles
    warnings: list[str]
    settings: StoreSettings
    record: dict[str, Any] | None

    @property
    def present(self) -> pd.Series:
        """Whether the file of each row of the labels' table is there, bool."""
        return pd.Series([file is not None for file in self.found.files], self.labels.table.index)

    @property
    def files(self) -> list[Path]:
        """The files that are there, in the order of the table."""
        return [file for file in self.found.files if file is not None]

    @property
    def sizes(self) -> list[int]:
        """Sizes of `files` in bytes."""
        return [status.st_size for status in self._stats if status]

    @cached_property
    def hash(self) -> str:
        """A hash of all inputs; files count by size and time of change."""
        table = self.labels.table.assign(
            size=[status.st_size if status else -1 for status in self._stats],
            changed=[status.st_mtime_ns if status else -1 for status in self._stats],
            problem=self.found.problems,
        )
        facts = [asdict(self.settings), self.labels.names, self.labels.condition, self.warnings, self.record]
        digest = hashlib.sha256(json.dumps(facts).encode())
        for part in (table, self.labels.rejected):
            digest.update(part.to_csv(index=False).encode())
        return digest.hexdigest()[:16]

    @cached_property
    def _stats(self) -> list[os.stat_result | None]:
        return [file.stat() if file else None for file in self.found.files]


def read_inputs(
    midi_dir: Path,
    labels_csv: Path,
    *,
    genres: Sequence[str] | None = None,
    genre_column: str | None = None,
    min_confidence: float | None = None,
    allow_outside: bool = False,
    settings: StoreSettings = StoreSettings(),
) -> StoreInputs:
    """Read `labels_csv` and find the files below `midi_dir` that it lists, without reading them.

    For `genres`, `genre_column` and `min_confidence` see `read_labels`. Raises `UserError` where the labels are
    unusable, or none of the files is there.
    """
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
    return StoreInputs(labels, found, [*labels.warnings, *found.warnings, *warnings], settings, record)


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
