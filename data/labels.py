"""Read a label CSV, or folders named by genre: labelled files, and the names of their genres or another condition."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.errors import UserError
from common.files import files_below
from data.label_csv import read_label_csv

GENRE, CONFIDENCE = "genre", "confidence"
_SPLIT_NAMES = {"": "", "train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_IDS_SHOWN = 10
_RENAME = "use other names; see --genres and --genre-column"


@dataclass(frozen=True, eq=False)
class Labels:
    """The usable rows of a label CSV.

    `table`, a row a file: `path` (with forward slashes, without "." and empty parts), `genre_id` int64, `artist`,
    `title`, `split` ("" if open), `label_source` ("" if unknown), `confidence` (NaN if unknown). `names`: of genre 0,
    1, ... `condition`: the column of the names. `made_ids`: whether the ids were made from the names. `rejected`:
    `path` and `reason` of unusable rows. `warnings`: sentences.
    """

    table: pd.DataFrame
    names: list[str]
    condition: str
    made_ids: bool
    rejected: pd.DataFrame
    warnings: list[str]


def read_labels(
    csv_path: Path,
    *,
    genre_column: str | None = None,
    names: Sequence[str] | None = None,
    min_confidence: float | None = None,
) -> Labels:
    """Read the columns path and genre_id and, where present, genre, artist, title, split, source and confidence.

    If `csv_path` is a folder, the names of its folders are the genres of the MIDI files below them.

    With `genre_column`, the names in that column are the condition, and genre_id is not needed: ids follow the names
    in alphabetical order, so that new files change no id unless they bring a new name. Otherwise `names`, or else the
    column genre, name the ids. Names are compared without case; the first spelling wins. Missing artists and titles
    are taken from the path: folder and file name. Rows with a confidence below `min_confidence`, or none, are rejected.

    Raises `UserError` where the file is missing or no such table, where a folder comes with other options, where ids
    have gaps, or names and ids do not match, or a name could be mistaken for an id or for all genres.
    """
    column = genre_column.strip().casefold() if genre_column else None
    if is_folder := csv_path.is_dir():
        if column or names is not None or min_confidence is not None:
            raise UserError(f"{csv_path}: a folder, whose folders name the genres; for other labels give a CSV")
        column, (raw, too_many) = GENRE, _read_folder(csv_path)
    elif csv_path.is_file():
        needed = ["path", column or "genre_id", *([CONFIDENCE] if min_confidence is not None else [])]
        raw, too_many = read_label_csv(csv_path, needed)
    else:
        raise UserError(f"{csv_path}: no such label file; give a CSV with the columns path,genre_id, or a folder")
    table = _files(raw).assign(line=raw.index)
    table[GENRE] = _column(raw, column or GENRE)
    table["id_text"] = "" if column else raw["genre_id"].str.replace(r"\.0$", "", regex=True)
    problem = _problems(table, too_many, column, raw, min_confidence)
    bad = problem != ""
    line = "" if is_folder else " (line " + problem.index[bad].astype(str) + f" of {csv_path.name})"
    rejected = pd.DataFrame({"path": table["path"][bad], "reason": problem[bad] + line}).reset_index(drop=True)
    table = table[~bad].copy()
    if not len(table):
        raise UserError(f"{csv_path}: no usable row; each needs a path and a {column or 'genre_id of 0 or more'}")
    table[GENRE], warnings = _one_spelling(table[GENRE], column or GENRE)
    if column:
        found = sorted(set(table[GENRE]), key=str.casefold)
        table["genre_id"] = table[GENRE].map({name: genre_id for genre_id, name in enumerate(found)})
    else:
        table["genre_id"] = table["id_text"].astype("int64")
        found = _names_of_ids(csv_path, table, names)
    _check_names(found, column or GENRE)
    table = table.drop(columns=[GENRE, "id_text", "line"]).reset_index(drop=True)
    return Labels(table, found, column or GENRE, column is not None, rejected, warnings)


def _read_folder(folder: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Return what `read_label_csv` does, for a folder of genres. Raises `UserError` if none has MIDI files."""
    paths = files_below(folder, ".mid", ".midi")
    if not paths:
        raise UserError(f"{folder}: no file there ends in .mid or .midi; give a folder with a folder for each genre")
    genres = [path.partition("/")[0] if "/" in path else "" for path in paths]
    if not any(genres):
        raise UserError(f"{folder}: its files are in no folder of a genre; give a folder with a folder for each genre")
    return pd.DataFrame({"path": paths, GENRE: genres}), pd.Series(False, range(len(paths)))


def _check_names(names: Sequence[str], condition: str) -> None:
    """Raise `UserError` for a name that could be mistaken for another id, for all genres, or for another name."""
    for genre_id, name in enumerate(names):
        other_id = name.isdecimal() and str(int(name)) == name and int(name) < len(names) and int(name) != genre_id
        if not name or name.casefold() == "all" or other_id:
            raise UserError(f"a {condition} cannot be called {name!r}, which means others; {_RENAME}")
    folded = [name.casefold() for name in names]
    twice = sorted({name for name in names if folded.count(name.casefold()) > 1})
    if twice:
        raise UserError(f"two ids are called {twice[0]!r}; {_RENAME}")


def _files(raw: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of `Labels.table` except `genre_id`; `split` is still as written, in lower case."""
    paths = [_plain_path(text) for text in raw["path"]]
    folders = [path.split("/")[-2] if "/" in path else "" for path in paths]
    stems = [re.sub(r"\.midi?$", "", path.rpartition("/")[2], flags=re.IGNORECASE) for path in paths]
    artist, title = _column(raw, "artist"), _column(raw, "title")
    return pd.DataFrame(
        {
            "path": pd.Series(paths, raw.index, dtype=str),
            "artist": artist.where(artist != "", pd.Series(folders, raw.index, dtype=str)),
            "title": title.where(title != "", pd.Series(stems, raw.index, dtype=str)),
            "split": _column(raw, "split").str.lower(),
            "label_source": _column(raw, "source"),
            CONFIDENCE: pd.to_numeric(_column(raw, CONFIDENCE), errors="coerce"),
        }
    )


def _plain_path(text: str) -> str:
    """Return a path with forward slashes, without "." and empty parts, so that one file has one path."""
    path = text.replace("\\", "/")
    parts = "/".join(part for part in path.split("/") if part not in ("", "."))
    return f"/{parts}" if path.startswith("/") else parts


def _column(raw: pd.DataFrame, name: str) -> pd.Series:
    return raw[name] if name in raw else pd.Series("", raw.index, dtype=str)


def _problems(
    table: pd.DataFrame, too_many: pd.Series, column: str | None, raw: pd.DataFrame, min_confidence: float | None
) -> pd.Series:
    """Return the first reason why each row is unusable, or ""; also normalises `split` in place."""
    problem = pd.Series("", table.index, dtype=object)

    def note(where: pd.Series, reason: str, values: pd.Series | None = None) -> None:
        chosen = where & (problem == "")
        problem[chosen] = reason if values is None else [reason.format(repr(text)) for text in values[chosen]]

    note(too_many, "more fields than columns: put a path or title that has the separator in it in quotes")
    note(table["path"] == "", "no path")
    if column:
        note(table[GENRE] == "", f"no {column}")
    else:
        is_id = table["id_text"].str.fullmatch(r"[0-9]{1,6}")
        note(~is_id, "genre_id {} is not a whole number of 0 or more", raw["genre_id"])
    note(~table["split"].isin(_SPLIT_NAMES), "split {} is none of train, val, test", table["split"])
    table["split"] = table["split"].map(_SPLIT_NAMES).fillna("")
    if min_confidence is not None:
        written = _column(raw, CONFIDENCE)
        note(table[CONFIDENCE].isna(), "confidence {} is no number", written)
        note(table[CONFIDENCE] < min_confidence, f"confidence {{}} is below {min_confidence:g}", written)
    good = table["path"][problem == ""].str.normalize("NFC")
    note(good.duplicated().reindex(table.index, fill_value=False), "listed more than once")
    return problem


def _one_spelling(names: pd.Series, condition: str) -> tuple[pd.Series, list[str]]:
    """Replace spellings that differ in case or spaces by the first; also returns a warning if there are such."""
    folded = names.str.normalize("NFC").str.casefold().str.replace(r"\s+", " ", regex=True)
    first = names.groupby(folded, sort=False).transform("first")
    others = first != names
    if not others.any():
        return first, []
    example = f"{names[others].iloc[0]!r} for {first[others].iloc[0]!r}"
    warning = f"names of {condition} that differ in case or spaces alone are one, as {example} ({others.sum()} rows)"
    return first, [warning]


def _names_of_ids(csv_path: Path, table: pd.DataFrame, given: Sequence[str] | None) -> list[str]:
    """Return the names of genre 0, 1, ...: those given, or those in the CSV, or "genre 0"."""
    used = sorted(set(table["genre_id"]))
    if given is not None and used[-1] >= len(given):
        raise UserError(f"--genres gives {len(given)} names, but the labels have a genre_id {used[-1]}")
    if used != list(range(len(given) if given is not None else len(used))):
        shown = ", ".join(map(str, used[:_IDS_SHOWN])) + (", ..." if len(used) > _IDS_SHOWN else "")
        raise UserError(
            f"{csv_path}: genre ids must run 0, 1, ... without gaps, but those in use are {shown}; "
            f"{f'subtract {used[0]} from each' if used[-1] - used[0] == len(used) - 1 else 'number them anew'}, "
            "or let --genre-column NAME make them from the names in a column"
        )
    named = table[table[GENRE] != ""]
    first = named.groupby("genre_id")[GENRE].transform("first")
    other = named[first != named[GENRE]]
    if len(other):
        row = other.iloc[0]
        raise UserError(
            f"{csv_path}: genre_id {row['genre_id']} is called {first[other.index[0]]!r}, but {row[GENRE]!r} in line "
            f"{row['line']}; use one name for each id"
        )
    if given is not None:
        return list(given)
    csv_names = named.groupby("genre_id")[GENRE].first().to_dict()
    return [csv_names.get(genre_id, f"{GENRE} {genre_id}") for genre_id in used]
