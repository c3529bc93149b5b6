"""Files that are whole or not there: the one atomic writer, hashes, and locks of folders."""

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
    """A file to write that becomes `path` when the block ends well: whole, or not at all.

    `path` holds the old content or all of the new, whenever the process is stopped, and after an error nothing is left
    behind. The temporary file has a name of its own, so two writers never share one. Makes the folder. An `OSError`,
    such as a full disk, names `path`.
    """
    # Part of the name alone: a name may be as long as the file system allows.
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
    """An `OSError` of the block that names no file, or one of `instead_of`, names `path`."""
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
    """`torch.save` of plain data (tensors, numbers, texts, lists, dictionaries), atomically."""
    import torch  # here, because the processes that read MIDI files do without it and start sooner

    buffer = BytesIO()  # torch's own writer of files hides why the system refuses one
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())


def hash_of_file(path: Path, digits: int = HASH_DIGITS) -> str:
    """The first hexadecimal digits, of 64, of the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()[:digits]


@contextlib.contextmanager
def locked_folder(folder: Path, in_use: str) -> Iterator[None]:
    """Keep other processes that ask for the same lock out of `folder` while the block runs.

    The lock is a file beside the folder, `.<name>.lock`; it ends with the process, however that ends. Raises
    `UserError`, "<folder>: <in_use>", where another process has it.
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
