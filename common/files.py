"""Atomic writes, hashes of files, and locks of folders."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from hashlib import file_digest
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from common.errors import UserError

HASH_DIGITS = 12


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file that replaces `path` after the block; an error or a kill leaves `path` as it was.

    Makes the folder. Temporary names are unique, so two writers never share one. An `OSError`, such as a full disk,
    names `path`.
    """
    # A part of the name only: `path.name` may be as long as the file system allows.
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    try:
        with errors_naming(path, temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def errors_naming(path: Path, *instead_of: Path) -> Iterator[None]:
    """Make each `OSError` in the block name `path` where it names no file, or one of `instead_of`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, *map(str, instead_of)):
            raise
        raise OSError(error.errno, error.strerror or os.strerror(error.errno), str(path)) from error


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file atomically."""
    with written_atomically(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())


def save_plain(content: dict[str, Any], path: Path) -> None:
    """Save plain data (tensors, numbers, strings, lists, dictionaries) with `torch.save`, atomically."""
    import torch  # here, because the processes that read MIDI files start sooner without it

    buffer = BytesIO()  # torch's own file writer hides the system's reason for an error
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())


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
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"{folder}: {in_use}") from error
    try:
        yield
    finally:
        lock.release()
