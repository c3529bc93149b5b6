"""Make text from users and files safe to print and to use in file names."""

import re

MAX_NAME = 60  # bytes of a name in a longer file name


def printable(text: str) -> str:
    """Return `text` with control and other unprintable characters escaped as in Python."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def short_name(text: str) -> str:
    """Return `text` as a part of a file name for any file system: printable, no separators, limited length."""
    return re.sub(r'[\\/:*?"<>|]', "_", printable(text)).encode()[:MAX_NAME].decode(errors="ignore")
