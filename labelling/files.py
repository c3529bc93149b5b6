"""The files that are to be labelled, and all that ties each to a catalogue: MD5 sum, artist and title, track id."""

import csv
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from common.errors import UserError
from data.label_csv import read_label_csv
from labelling.msd import Problem
from labelling.names import names_of_path

_MIDI_SUFFIXES = (".mid", ".midi")
_FILE_LIST_COLUMNS = ("id", "artist", "title", "md5", "path")  # of clean_midi.txt, which names none


class MidiFile(NamedTuple):
    """`path` below the MIDI folder, with forward slashes. `md5` and `track` are "" where they are not known."""

    path: str
    artist: str
    title: str
    md5: str
    track: str


def find_midi_files(folder: Path, problems: list[Problem]) -> list[MidiFile]:
    """All MIDI files below a folder, by path. Raises `UserError` where there is none.

    A name that is no Unicode text, which no CSV can hold, is added to `problems`.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name that of the MIDI files with --midi-dir")
    paths = sorted(
        Path(place, name).relative_to(folder).as_posix()
        for place, _, names in os.walk(folder) for name in names if name.lower().endswith(_MIDI_SUFFIXES)
    )  # fmt: skip
    if not paths:
        raise UserError(f"{folder}: no file there ends in .mid or .midi; name another folder with --midi-dir")
    files = []
    for path in paths:
        shown = path.encode(errors="replace").decode()
        if shown == path:
            files.append(_of_path(path))
        else:
            problems.append(Problem(shown, "its name is no Unicode text; rename it"))
    return files


def read_file_list(path: Path) -> list[MidiFile]:
    """The files that a list names, by path: a CSV with the column path and, where present, artist, title and md5.

    Or five columns with tabs and no header: number, artist, title, MD5 sum, path (clean_midi.txt). Raises `UserError`
    where it is no such list.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file list; name a CSV with the column path")
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline().rstrip("\r\n").split("\t")
    without_header = len(first) == len(_FILE_LIST_COLUMNS) and first[0].isdecimal()
    rows = _rows_without_header(path) if without_header else _rows_of_csv(path)
    files = {}
    for row in rows:
        told = _of_path(row["path"].replace("\\", "/"))
        given = {name: row[name] for name in ("artist", "title", "md5") if row.get(name)}
        files.setdefault(told.path, told._replace(**given))
    if not files:
        raise UserError(f"{path}: names no file; each row needs a path")
    return [files[name] for name in sorted(files)]


def _of_path(path: str) -> MidiFile:
    return MidiFile(path, *names_of_path(path))


def _rows_of_csv(path: Path) -> Iterator[dict[str, str]]:
    table, too_many = read_label_csv(path, ["path"])
    columns = [name for name in ("path", "artist", "title", "md5") if name in table]
    for values in table.loc[~too_many & (table["path"] != ""), columns].itertuples(index=False, name=None):
        yield dict(zip(columns, values, strict=True))


def _rows_without_header(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for fields in csv.reader(file, delimiter="\t"):  # names with quotes in them are quoted
            if len(fields) == len(_FILE_LIST_COLUMNS) and fields[-1]:
                yield dict(zip(_FILE_LIST_COLUMNS, fields, strict=True))


def with_md5(files: list[MidiFile], folder: Path, *, progress: bool = False) -> list[MidiFile]:
    """The files with the MD5 sums of their bytes, of those that have none yet; "" where one cannot be read."""
    missing = [number for number, file in enumerate(files) if not file.md5]
    with ThreadPoolExecutor() as pool:  # reading and hashing both let other threads work
        sums = pool.map(lambda number: _md5(folder / files[number].path), missing, chunksize=64)
        bar = tqdm(sums, "MD5", len(missing), unit=" files", disable=not progress)
        for number, md5 in zip(missing, bar, strict=True):
            files[number] = files[number]._replace(md5=md5)
    return files


def _md5(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except OSError:
        return ""
