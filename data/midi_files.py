"""Find the files that the paths of a label CSV name."""

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_MISSING = "no such file"
_LEADS_OUT = re.compile(r"^(?:[A-Za-z]:)?/|(?:^|/)\.\.(?:/|$)")  # absolute on any system, or with ".." in it


@dataclass(frozen=True)
class FoundFiles:
    """For each path its file, or None and the reason in `problems`; `warnings`: sentences about all of them."""

    files: list[Path | None]
    problems: list[str]
    warnings: list[str]


def find_files(paths: Sequence[str], midi_dir: Path, *, allow_outside: bool = False) -> FoundFiles:
    """Find the files below `midi_dir` that the CSV's paths (with forward slashes) name; each file for one path only.

    If no path exists and all begin with the same folder, they are tried without it, as `midi_dir` may be that folder.
    Names match in either Unicode normal form, because file systems and CSVs differ in it. Paths and links that lead
    out of `midi_dir` are refused unless `allow_outside`.
    """
    tree = _Tree(midi_dir)
    warnings: list[str] = []
    found = [tree.find(path) for path in paths]
    first_folders = {path.split("/", 1)[0] if "/" in path else "" for path in paths}
    first = first_folders.pop() if len(first_folders) == 1 else ""
    if first and not any(found):
        found = [tree.find(path.removeprefix(f"{first}/")) for path in paths]
        if any(found) and first != midi_dir.resolve().name:
            warnings.append(f"all paths begin with {first}/, which is not in {midi_dir}: read without it")
    files: list[Path | None] = []
    problems: list[str] = []
    path_of_file: dict[Path, str] = {}
    for path, place in zip(paths, found, strict=True):
        file, problem = tree.check(path, place, allow_outside)
        if file is not None:
            real = file.resolve() if place is None or place.has_link else tree.real_root / place.path
            other = path_of_file.setdefault(real, path)
            if other != path:
                file, problem = None, f"the same file as {other}"
        files.append(file)
        problems.append(problem)
    return FoundFiles(files, problems, warnings)


@dataclass(frozen=True, slots=True)
class _Place:
    """A path below the root, spelled as in the file system, whether it passes a link, and why it cannot be read."""

    path: str
    has_link: bool
    problem: str


class _Tree:
    """The files below a folder; each folder on a path is listed once, so missing files cost no time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real_root = root.resolve()
        self._entries: dict[str, dict[str, os.DirEntry[str]]] = {}

    def find(self, path: str) -> _Place | None:
        """Return the place of a file, or None where it is missing or the path leads out."""
        if _LEADS_OUT.search(path):
            return None
        place, has_link = "", False
        for name in path.split("/"):
            if place not in self._entries:
                self._entries[place] = _list_folder(self.root / place)
            entries = self._entries[place]
            entry = entries.get(name) or entries.get(unicodedata.normalize("NFC", name))
            if entry is None:
                return None
            place, has_link = f"{place}/{entry.name}".lstrip("/"), has_link or entry.is_symlink()
        problem = _problem_of(entry)
        return None if problem == _MISSING else _Place(place, has_link, problem)

    def check(self, path: str, place: _Place | None, allow_outside: bool) -> tuple[Path | None, str]:
        """Return the file of a path, or None and why it cannot be used."""
        if _LEADS_OUT.search(path):
            if not allow_outside:
                return None, "leads out of the MIDI folder"
            problem = _problem_of(self.root / path)
            return None if problem else self.root / path, problem
        if place is None or place.problem:
            return None, place.problem if place else _MISSING
        file = self.root / place.path
        if place.has_link and not allow_outside and not file.resolve().is_relative_to(self.real_root):
            return None, "a link that leads out of the MIDI folder"
        return file, ""


def _list_folder(folder: Path) -> dict[str, os.DirEntry[str]]:
    """Return the entries of a folder by name, in composed Unicode form and as they are; none if it is unreadable."""
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except (OSError, ValueError):
        return {}
    composed = {unicodedata.normalize("NFC", entry.name): entry for entry in entries}
    return composed | {entry.name: entry for entry in entries}


def _problem_of(place: os.DirEntry[str] | Path) -> str:
    """Why a file cannot be read, or "" if it can."""
    try:
        if place.is_file():
            return ""
        place.stat()  # raises an error for a link to nowhere
        return _MISSING if place.is_dir() else "not a regular file"
    except (OSError, ValueError):  # links in a circle, a name too long for the file system, or with a NUL in it
        return _MISSING
