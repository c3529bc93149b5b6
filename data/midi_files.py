"""Paths of the label CSV -> files below the MIDI folder."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_LEADS_OUT = re.compile(r"^(?:[A-Za-z]:)?/|(?:^|/)\.\.(?:/|$)")


@dataclass(frozen=True)
class FoundFiles:
    """The file of each path, or None, then the reason why not, and sentences about all of them."""

    files: list[Path | None]
    problems: list[str]
    warnings: list[str]


def find_files(paths: Sequence[str], midi_dir: Path, *, allow_outside: bool = False) -> FoundFiles:
    """The files that the CSV's paths (forward slashes) mean: below `midi_dir`, each file for one path alone.

    Where none is there, and all paths begin with one and the same folder, they are tried without it: `midi_dir` may be
    that folder. Names are compared in either Unicode normal form, since file systems and CSVs differ in them. Paths
    and links that lead out of `midi_dir` are refused unless `allow_outside`. Every folder is listed once, so what is
    missing costs no time.
    """
    tree = _Tree(midi_dir)
    warnings: list[str] = []
    found = [tree.find(path) for path in paths]
    first = _first_folder(paths)
    if first and not any(found):
        found = [tree.find(path.removeprefix(first + "/")) for path in paths]
        if any(found) and first != midi_dir.resolve().name:
            warnings.append(f"all paths begin with {first}/, which is not in {midi_dir}: read without it")
    files: list[Path | None] = []
    problems: list[str] = []
    taken: dict[Path, str] = {}
    for path, place in zip(paths, found, strict=True):
        file, problem = _checked(path, place, tree, allow_outside)
        if file is not None:
            real = file.resolve() if place is None or place.has_link else tree.real_root / place.path
            other = taken.setdefault(real, path)
            if other != path:
                file, problem = None, f"the same file as {other}"
        files.append(file)
        problems.append(problem)
    return FoundFiles(files, problems, warnings)


def _first_folder(paths: Sequence[str]) -> str | None:
    """The folder that all paths begin with, if there is one."""
    first = {path.split("/", 1)[0] if "/" in path else "" for path in paths}
    return next(iter(first)) or None if len(first) == 1 else None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file lies below the root, in the spelling of the file system, and whether a link is on the way."""

    path: str
    has_link: bool


def _checked(path: str, place: _Place | None, tree: "_Tree", allow_outside: bool) -> tuple[Path | None, str]:
    if leads_out(path):
        file = tree.root / path
        if not allow_outside:
            return None, "leads out of the MIDI folder"
        return (file, "") if _is(file.is_file) else (None, "no such file")
    if place is None:
        return None, "no such file"
    file = tree.root / place.path
    if place.has_link and not allow_outside and not file.resolve().is_relative_to(tree.real_root):
        return None, "a link that leads out of the MIDI folder"
    return file, ""


def leads_out(path: str) -> bool:
    """Whether a path with forward slashes is absolute, on any system, or goes up."""
    return _LEADS_OUT.search(path) is not None


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except (OSError, ValueError):  # links in a circle, a name too long for the file system, or with a NUL in it
        return False


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder's place, and what is in it by name."""

    place: _Place
    entries: dict[str, os.DirEntry[str]]


class _Tree:
    """The files below a folder, of which every folder that is asked for is listed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real_root = root.resolve()
        self._folders: dict[str, _Folder | None] = {"": self._listed(_Place("", False))}

    def find(self, path: str) -> _Place | None:
        """The place of a file, or None where it is missing or the path leads out."""
        if leads_out(path):
            return None
        above, _, name = path.rpartition("/")
        folder = self._folders[above] if above in self._folders else self._enter(above)
        entry = _entry(folder, name)
        return _joined(folder.place, entry) if folder and entry and _is(entry.is_file) else None

    def _enter(self, path: str) -> _Folder | None:
        """List the folders on the way to `path` that were not listed before."""
        folder, walked = self._folders[""], ""
        for name in path.split("/"):
            walked = f"{walked}/{name}" if walked else name
            if walked not in self._folders:
                entry = _entry(folder, name)
                there = folder and entry and _is(entry.is_dir)
                self._folders[walked] = self._listed(_joined(folder.place, entry)) if there else None
            folder = self._folders[walked]
        return folder

    def _listed(self, place: _Place) -> _Folder:
        return _Folder(place, dict(_entries(self.root / place.path)))


def _entries(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Names in a folder, first in composed form and then as they are, which wins; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except OSError:
        return
    yield from ((unicodedata.normalize("NFC", entry.name), entry) for entry in entries)
    yield from ((entry.name, entry) for entry in entries)


def _entry(folder: _Folder | None, name: str) -> os.DirEntry[str] | None:
    return folder and (folder.entries.get(name) or folder.entries.get(unicodedata.normalize("NFC", name)))


def _joined(place: _Place, entry: os.DirEntry[str]) -> _Place:
    return _Place(f"{place.path}/{entry.name}" if place.path else entry.name, place.has_link or entry.is_symlink())
