"""Reading with limits, atomic writes that replace nothing foreign, hashes of files, and locks of folders."""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import file_digest, sha256
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from common.errors import UserError, signals_deferred

HASH_DIGITS = 12
# Record of the files that we wrote in a folder: a line for each writing with name, size, time of change and SHA-256.
RECORD = ".written"
_HOST = sha256(socket.gethostname().encode()).hexdigest()[:8]
_TEMPORARY_NAME = re.compile(rf"\..+\.{_HOST}-(\d+)-[0-9a-f]+\.partial")


def require_regular(path: Path, max_bytes: int) -> None:
    """Raise `ValueError` with the reason where `path` is no regular file (a device, a pipe) or has over `max_bytes`."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    if status.st_size > max_bytes:
        raise ValueError(f"too large: {status.st_size:,} bytes, more than the {max_bytes:,} allowed")


def read_limited(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file of at most `max_bytes`. Raises as `require_regular`, and `OSError`."""
    require_regular(path, max_bytes)
    return path.read_bytes()


def files_below(folder: Path, *suffixes: str) -> list[str]:
    """Return the paths, relative to `folder` and sorted, of all files with one of the suffixes.

    Hidden files and those in hidden folders, whose names begin with a dot, are left out.
    """
    paths = (
        Path(place, name).relative_to(folder)
        for place, _, names in os.walk(folder) for name in names if name.lower().endswith(suffixes)
    )  # fmt: skip
    return sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path] = ()) -> None:
    """Raise `UserError` where an output is one of `inputs` or a file that we did not write, before any work is done.

    Makes the folders of the outputs; raises `OSError` where one cannot be written.
    """
    outputs, read = list(outputs), {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in read:
            raise UserError(f"{path}: is read, too; name another file to write")
        _require_replaceable(path)
    for folder in dict.fromkeys(path.parent for path in outputs):
        require_writable(folder)


def require_writable(folder: Path) -> None:
    """Make `folder`; raise `OSError` with its name if no file can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


@contextlib.contextmanager
def written_atomically(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Yield a temporary file that replaces `path` after the block; an error or a kill leaves `path` as it was.

    Makes the folder. Raises `UserError` where `path` exists and we did not write it, or it was changed since. With
    `replace`, nothing is checked or recorded: the caller knows that the file may be replaced. Temporary names are
    unique, so two writers never share one; those of killed processes are removed. An `OSError`, such as a full disk,
    names `path`.
    """
    temporary = _temporary_path(path)
    try:
        with errors_naming(path, temporary, path.with_name(RECORD)):
            path.parent.mkdir(parents=True, exist_ok=True)
            _sweep(path.parent.resolve())
            if not replace:
                _require_replaceable(path)
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if not replace:
                _note_written(temporary, path)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(place: Path) -> Iterator[Path]:
    """Yield a new folder beside `place`, removed after the block. Those of killed processes are removed, too."""
    temporary = _temporary_path(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    _sweep(place.parent.resolve())
    try:
        temporary.mkdir()
        yield temporary
    finally:
        remove_folder(temporary)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, if it can be removed. A signal is answered afterwards."""
    with signals_deferred():
        shutil.rmtree(folder, ignore_errors=True)


def _temporary_path(path: Path) -> Path:
    # A part of the name only: `path.name` may be as long as the file system allows.
    return path.with_name(f".{path.name[:40]}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.partial")


def _require_replaceable(path: Path) -> None:
    """Raise `UserError` where `path` exists and is no file that we wrote there."""
    if not path.is_file():
        return
    written = []
    with contextlib.suppress(FileNotFoundError):
        lines = path.with_name(RECORD).read_text(encoding="ascii", errors="replace").splitlines()
        own = json.dumps([path.name])[:-1] + ", "  # parsing all lines for each of many files would take long
        for line in (line for line in lines if line.startswith(own)):
            with contextlib.suppress(ValueError):  # half a line, as a full disk leaves, or a damaged one
                _, size, time, digest = json.loads(line)
                written.append(([size, time], digest))
    if not written:
        raise UserError(f"{path}: exists, and no program of ours wrote it; move it, or name another place to write")
    if written[-1][0] != _size_and_time(path) and hash_of_file(path) not in [digest for _, digest in written]:
        raise UserError(f"{path}: was changed since it was written; move it, or name another place to write")


def _note_written(temporary: Path, path: Path) -> None:
    """Append `path`, whose content is in `temporary`, to the record of its folder."""
    line = json.dumps([path.name, *_size_and_time(temporary), hash_of_file(temporary)]) + "\n"
    with path.with_name(RECORD).open("ab+") as file:  # one write: lines of two processes do not mix
        file.write(end_of_half_line(file) + line.encode())


def end_of_half_line(file: BinaryIO) -> bytes:
    """Return what ends the last line of a file open for reading and appending: a line break, if it has none."""
    if not file.tell():
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read() == b"\n" else b"\n"


def _size_and_time(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


@cache
def _sweep(folder: Path) -> None:
    """Remove temporary files and folders of processes of this host that have ended, once in a process and folder."""
    for path in folder.glob(".*.partial"):
        match = _TEMPORARY_NAME.fullmatch(path.name)
        if match and not _is_alive(int(match[1])):
            remove_folder(path) if path.is_dir() else path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere `os.kill` ends the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        pass
    return True


@contextlib.contextmanager
def errors_naming(path: Path, *instead_of: Path) -> Iterator[None]:
    """Make each `OSError` in the block name `path` where it names no file, or one of `instead_of`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, *map(str, instead_of)):
            raise
        raise OSError(error.errno, error.strerror or os.strerror(error.errno), str(path)) from error


def write_bytes(path: Path, content: bytes | memoryview, *, replace: bool = False) -> None:
    """Write a file by `written_atomically`."""
    with written_atomically(path, replace=replace) as file:
        file.write(content)


def write_text(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a UTF-8 text file by `written_atomically`."""
    write_bytes(path, text.encode(), replace=replace)


def plain_bytes(content: dict[str, Any]) -> memoryview:
    """Plain data (tensors, numbers, strings, lists, dictionaries) as `torch.save` writes them."""
    import torch  # here, because the processes that read MIDI files start sooner without it

    buffer = BytesIO()  # torch's own file writer hides the system's reason for an error
    torch.save(content, buffer)
    return buffer.getbuffer()


def save_plain(content: dict[str, Any], path: Path, *, replace: bool = False) -> None:
    """Save plain data by `written_atomically`."""
    write_bytes(path, plain_bytes(content), replace=replace)


def hash_of_file(path: Path, digits: int = HASH_DIGITS) -> str:
    """Return the first hexadecimal digits of the SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()[:digits]


@contextlib.contextmanager
def locked_folder(folder: Path, in_use: str) -> Iterator[None]:
    """Hold the lock of `folder` during the block. Raises `UserError` "<folder>: <in_use>" if another process holds it.

    The lock is the file `.<name>.lock` beside the folder. The system releases it when the process ends.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(f".{folder.name}.lock")
    with errors_naming(folder, path):  # FileLock waits for a place where no file can be made
        path.open("ab").close()
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"{folder}: {in_use}") from error
    try:
        yield
    finally:
        lock.release()
