"""Label CSV -> list of labelled files."""

import csv
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError

SPLITS = ("train", "val", "test")
_SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_VERSION = re.compile(r"(.*\S)(?:\.\d+|\s*\(\d+\))")
# The word before ".5" in "Symphony No.5", "Etude Op.10", "bwv244.3" and "madrigal.3.1", where it is no version.
_CATALOGUE = re.compile(r"(no|nr|op|.*\D\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Label:
    """One row of the label CSV. `path` is as written there; `split` is None where the CSV leaves it open."""

    path: str
    genre_id: int
    artist: str
    title: str
    split: str | None

    @property
    def song_key(self) -> str:
        """The same for all versions of a song: artist and title, without case, spacing and version number."""
        texts = self.artist, without_version(self.title)
        return " / ".join(" ".join(_normal(text).casefold().split()) for text in texts)


def without_version(title: str) -> str:
    """"Title" for "Title.2" and "Title (2)"; catalogue numbers, as in "Op.10", stay."""
    found = _VERSION.fullmatch(title)
    if not found or _CATALOGUE.fullmatch(found[1].split()[-1]):
        return title
    return found[1]


@dataclass(frozen=True)
class Rejected:
    """A file that does not enter the store, and why."""

    path: str
    reason: str


def read_labels(csv_path: Path) -> tuple[list[Label], dict[int, str], list[Rejected]]:
    """Read `path,genre_id` and, where present, the columns genre, artist, title and split; others are ignored.

    Without artist and title columns they are taken from the path: folder and file name. Returns the labels in
    file order, the genre names by id as far as the CSV gives them, and the rows that cannot be used.
    Raises `UserError` where the file is missing, is no such table, or gives one genre id two names.
    """
    if not csv_path.is_file():
        raise UserError(f"{csv_path}: no such label file; give a CSV with the columns path,genre_id")
    labels: list[Label] = []
    names: dict[int, str] = {}
    rejected: list[Rejected] = []
    seen: set[str] = set()
    try:
        with csv_path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = {"path", "genre_id"} - set(reader.fieldnames or ())
            if missing:
                raise UserError(f"{csv_path}: no column {' and '.join(sorted(missing))}; the first line must name them")
            for row in reader:
                path = (row["path"] or "").strip().replace("\\", "/")
                problem = _problem(path, row, seen)
                if problem:
                    rejected.append(Rejected(path, f"{problem} (line {reader.line_num} of {csv_path.name})"))
                    continue
                seen.add(path)
                label = _label(path, row)
                labels.append(label)
                name = (row.get("genre") or "").strip()
                if name and names.setdefault(label.genre_id, name) != name:
                    raise UserError(
                        f"{csv_path}: genre_id {label.genre_id} is called {names[label.genre_id]!r} and, in line "
                        f"{reader.line_num}, {name!r}; use one name for each id"
                    )
    except UnicodeDecodeError as error:
        raise UserError(f"{csv_path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except csv.Error as error:
        told = f"{error}, line {reader.line_num}"
        raise UserError(f"{csv_path}: not a CSV table ({told}); is a quote left open?") from error
    if not labels:
        raise UserError(f"{csv_path}: no usable row; each needs a path and a genre_id of 0 or more")
    return labels, names, rejected


def _problem(path: str, row: dict[str, str], seen: set[str]) -> str | None:
    if not path:
        return "no path"
    if path in seen:
        return "listed more than once"
    if not re.fullmatch(r"\d{1,6}(\.0)?", (row["genre_id"] or "").strip()):
        return f"genre_id {row['genre_id']!r} is not a whole number of 0 or more"
    split = (row.get("split") or "").strip().lower()
    if split and split not in _SPLIT_NAMES:
        return f"split {split!r} is none of train, val, test"
    return None


def _label(path: str, row: dict[str, str]) -> Label:
    parts = path.split("/")
    stem = re.sub(r"\.midi?$", "", parts[-1], flags=re.IGNORECASE)
    artist = (row.get("artist") or "").strip() or (parts[-2] if len(parts) > 1 else "")
    title = (row.get("title") or "").strip() or stem
    split = _SPLIT_NAMES.get((row.get("split") or "").strip().lower())
    return Label(path, int(row["genre_id"].strip().removesuffix(".0")), artist, title, split)


def resolve_path(path: str, midi_dir: Path) -> Path | None:
    """The file that a CSV's path means: below `midi_dir`, absolute, or without its first folder; None if missing.

    Names are also tried in both Unicode normal forms, since file systems and CSVs differ in them.
    """
    without_first = path.split("/", 1)[-1]
    for candidate in (path, without_first):
        for form in (candidate, unicodedata.normalize("NFC", candidate), unicodedata.normalize("NFD", candidate)):
            file = midi_dir / form
            try:
                if file.is_file():
                    return file
            except OSError:  # a name too long for the file system
                continue
    return None


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)
