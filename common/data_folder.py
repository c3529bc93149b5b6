"""Folders of data files that one JSON file describes and hashes: complete or not there, and checked when opened."""

import contextlib
import json
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import errors_naming, hash_of_file, locked_folder, remove_folder, write_text

_UNFINISHED = ".unfinished-"
_FILE_HASH_DIGITS, _CONTENT_HASH_DIGITS = 64, 16
_SAMPLES, _SAMPLE_BYTES = 16, 4096


@dataclass(frozen=True)
class DataFolder:
    """A format of data folders, for example the roll store.

    The JSON file `info_file` is written last. It holds `format_version`, the facts given by the writer, an entry in
    `files` for each data file, and `content_hash`, which covers the facts named in `hashed_facts` and the hashes of
    all data files except `log`. Equal data have equal content hashes on any machine, at any time.

    An entry is the SHA-256 of the file; with `sampled`, its size, the hash of a sample, and the SHA-256.
    """

    name: str
    program: str  # makes such a folder
    format_version: int
    info_file: str
    files: tuple[str, ...]
    log: str
    hashed_facts: tuple[str, ...]
    sampled: bool = False

    def read_info(self, folder: Path) -> dict[str, Any]:
        """Return the content of `info_file`, after a check of it and of all samples.

        Raises `UserError` where the folder holds no such data, another format version, or damaged files.
        """
        if not any((folder / name).exists() for name in (self.info_file, *self._arrays())):
            raise UserError(f"{folder}: no {self.name} there; make one with {self.program}")
        with self.damage_named(folder):
            info = json.loads((folder / self.info_file).read_text(encoding="utf-8"))
            version = info["format_version"]
            if version != self.format_version:
                this = f"{folder}: {self.name} of format {version}, but this code reads format {self.format_version}"
                raise UserError(f"{this}; make it again with {self.program}")
            if sorted(info["files"]) != sorted(self.files) or self._content_hash(info) != info["content_hash"]:
                raise ValueError(f"{self.info_file} has changed")
            for name, entry in info["files"].items() if self.sampled else ():
                if (entry["bytes"], entry["sample"]) != ((folder / name).stat().st_size, _sample(folder / name)):
                    raise ValueError(f"{name} has changed")
        return info

    def verify(self, folder: Path, info: dict[str, Any], names: Collection[str] | None = None) -> None:
        """Read all data files, or those of `names`, as a whole. Raises `UserError` where one differs from its hash."""
        with self.damage_named(folder):
            for name in self.files if names is None else names:
                if hash_of_file(folder / name, _FILE_HASH_DIGITS) != self._hash(info["files"][name]):
                    raise ValueError(f"{name} has changed")

    @contextlib.contextmanager
    def damage_named(self, folder: Path) -> Iterator[None]:
        """Turn read errors in the block into a `UserError` that names the damaged folder and the remedy."""
        try:
            yield
        except (FileNotFoundError, ValueError, LookupError, TypeError, EOFError, IsADirectoryError) as error:
            missing = isinstance(error, FileNotFoundError) and f"{Path(error.filename).name} is missing"
            reason = missing or " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{folder}: damaged ({reason}); make it again with {self.program}") from error

    def require_place(self, folder: Path) -> None:
        """Raise `UserError` where `folder` is a file, or holds something other than data of this format."""
        if any(parent.is_file() for parent in (folder, *folder.parents)):
            raise UserError(f"{folder}: a file is in the way; name another folder")
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        names = {name for name in names if not name.startswith(_UNFINISHED)}
        with contextlib.suppress(OSError, ValueError, TypeError):
            if "format_version" in json.loads((folder / self.info_file).read_bytes()):
                return
        if names and (names - {*self.files, self.info_file} or not names & self._arrays()):
            raise UserError(f"{folder}: not empty and not a {self.name}; name another folder, or remove it")

    @contextlib.contextmanager
    def locked(self, folder: Path) -> Iterator[None]:
        """Keep other writers out of `folder`. Raises `UserError` while another process writes.

        First complete or remove what a killed writer left.
        """
        with locked_folder(folder, f"another process is making this {self.name}; wait until it has ended"):
            for unfinished in sorted(folder.glob(f"{_UNFINISHED}*")):
                if (unfinished / self.info_file).is_file():
                    self._move_into_place(unfinished, folder)
                remove_folder(unfinished)
            yield

    def has_unfinished(self, folder: Path) -> bool:
        """Whether a writer was killed in `folder`, or is at work."""
        return any(folder.glob(f"{_UNFINISHED}*"))

    @contextlib.contextmanager
    def being_written(self, folder: Path) -> Iterator[Path]:
        """Yield a private folder for the data files and `write_info`; after the block its files move to `folder`.

        The private folder is inside `folder`, on the same file system. Earlier data stay until the new data are
        complete, other files in `folder` stay as they are. An error leaves nothing of the new data.
        """
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
        try:
            with errors_naming(folder, *(unfinished / name for name in (*self.files, self.info_file))):
                yield unfinished
            self.read_info(unfinished)
            self._move_into_place(unfinished, folder)
        finally:
            remove_folder(unfinished)
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()

    def write_info(self, folder: Path, facts: dict[str, Any]) -> None:
        """Hash the data files in `folder` and write `info_file`, which completes the data."""
        info = {"format_version": self.format_version, **facts}
        info["files"] = {name: self._entry(folder / name) for name in self.files}
        info["content_hash"] = self._content_hash(info)
        write_text(folder / self.info_file, json.dumps(info, indent=2, ensure_ascii=False) + "\n", replace=True)

    def _arrays(self) -> set[str]:
        return {name for name in self.files if name.endswith(".npy")}

    def _entry(self, path: Path) -> Any:
        whole = hash_of_file(path, _FILE_HASH_DIGITS)
        return {"bytes": path.stat().st_size, "sample": _sample(path), "sha256": whole} if self.sampled else whole

    def _hash(self, entry: Any) -> str:
        return entry["sha256"] if self.sampled else entry

    def _content_hash(self, info: dict[str, Any]) -> str:
        facts = [info[name] for name in ("format_version", *self.hashed_facts)]
        hashes = {name: self._hash(entry) for name, entry in info["files"].items() if name != self.log}
        return sha256(json.dumps([facts, hashes], sort_keys=True).encode()).hexdigest()[:_CONTENT_HASH_DIGITS]

    def _move_into_place(self, complete: Path, folder: Path) -> None:
        """Replace file by file; `info_file` leaves `folder` first and arrives last.

        An interrupted move can be repeated, because `info_file` is still in `complete`.
        """
        (folder / self.info_file).unlink(missing_ok=True)
        for name in (*self.files, self.info_file):
            if (complete / name).exists():
                (complete / name).replace(folder / name)


def _sample(path: Path) -> str:
    """Return the hash of sixteen evenly spaced pieces of a file, including the first and the last."""
    last = max(path.stat().st_size - _SAMPLE_BYTES, 0)
    digest = sha256()
    with path.open("rb") as file:
        for place in range(_SAMPLES):
            file.seek(last * place // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
