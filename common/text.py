"""Make text from users and files safe to print and to use in file names."""

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256

MAX_NAME = 60  # bytes of a name in a longer file name
_DIGITS = 8


def printable(text: str) -> str:
    """Return `text` with control and other unprintable characters escaped as in Python."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def aligned(rows: Iterable[Sequence[str]]) -> str:
    """Return rows of cells as text, the first column aligned to the left, the others to the right."""
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [[first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])] for first, *rest in cells]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def short_name(text: str) -> str:
    """Return `text` as a part of a file name for any file system: printable, no separators, at most `MAX_NAME` bytes.

    A name that is cut ends with digits of its hash, so that names of one beginning stay apart.
    """
    name = re.sub(r'[\\/:*?"<>|]', "_", printable(text)).encode()
    if len(name) > MAX_NAME:
        digits = sha256(name).hexdigest()[:_DIGITS]
        name = name[: MAX_NAME - _DIGITS - 1].decode(errors="ignore").encode() + f"_{digits}".encode()
    return name.decode()
