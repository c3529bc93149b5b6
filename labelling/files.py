"""List the files to label, with what connects each to a catalogue: MD5 sum, artist and title, track id."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from common.errors import UserError
from common.files import files_below, require_regular
from data.label_csv import read_label_csv
from labelling.msd import Problem
from labelling.names import names_of_path

_FILE_LIST_COLUMNS = ("id", "artist", "title", "md5", "path")  # of clean_midi.txt, which has no header
_MAX_BYTES = 1 << 30  # of a MIDI file


class MidiFile(NamedTuple):
    """`path` is below the MIDI folder, with forward slashes. Unknown values are ""."""

    path: str
    artist: str
    title: str
    md5: str
    track: str
    composer: str = ""
    era: str = ""


def find_midi_files(folder: Path, problems: list[Problem]) -> list[MidiFile]:
    """Return all MIDI files below a folder, sorted by path. Raises `UserError` if there are none.

    File names that are not valid Unicode cannot be written to a CSV; they are added to `problems`.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name that of the MIDI files with --midi-dir")
    paths = files_below(folder, ".mid", ".midi")
    if not paths:
        raise UserError(f"{folder}: no file there ends in .mid or .midi; name another folder with --midi-dir")
    shown = [path.encode(errors="replace").decode() for path in paths]
    reason = "its name is not valid Unicode; rename it"
    problems += [Problem(name, reason) for path, name in zip(paths, shown, strict=True) if path != name]
    return [_from_path(path) for path, name in zip(paths, shown, strict=True) if path == name]


def read_file_list(path: Path) -> list[MidiFile]:
    """Read a list of files: a CSV with the column path and optionally artist, title and md5; returns them by path.

    Also reads clean_midi.txt: five columns with tabs and no header. Raises `UserError` for another file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file list; name a CSV with the column path")
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline().rstrip("\r\n").split("\t")
    if len(first) == len(_FILE_LIST_COLUMNS) and first[0].isdecimal():
        table = pd.read_csv(
            path, sep="\t", names=_FILE_LIST_COLUMNS, dtype=str, na_filter=False, on_bad_lines="skip",
            encoding="utf-8-sig", encoding_errors="replace",
        )  # fmt: skip
    else:
        table, too_many = read_label_csv(path, ["path"])
        table = table[~too_many]
    files = {}
    for row in table[table["path"] != ""].to_dict("records"):
        file = _from_path(row["path"].replace("\\", "/"))
        given = {name: row[name] for name in ("artist", "title", "md5") if row.get(name)}
        files.setdefault(file.path, file._replace(**given))
    if not files:
        raise UserError(f"{path}: names no file; each row needs a path")
    return [files[name] for name in sorted(files)]


def _from_path(path: str) -> MidiFile:
    return MidiFile(path, *names_of_path(path))


def with_md5(files: list[MidiFile], folder: Path, *, progress: bool = False) -> list[MidiFile]:
    """Return the files with the missing MD5 sums of their bytes; "" for unreadable files."""
    missing = [file for file in files if not file.md5]
    with ThreadPoolExecutor() as pool:  # reading and hashing release the interpreter lock
        sums = pool.map(lambda file: _md5(folder / file.path), missing, chunksize=64)
        bar = tqdm(sums, "MD5", len(missing), unit=" files", disable=not progress)
        added = {file.path: file._replace(md5=md5) for file, md5 in zip(missing, bar, strict=True)}
    return [added.get(file.path, file) for file in files]


def _md5(path: Path) -> str:
    try:
        require_regular(path, _MAX_BYTES)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except (OSError, ValueError):
        return ""
