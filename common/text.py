"""Text from outside, made fit to show and to name files with."""

import re

MAX_NAME = 60  # characters of a file's name in titles and longer names


def printable(text: str) -> str:
    """`text` without anything that a terminal would obey: what cannot be printed is written as in Python."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def short_name(text: str) -> str:
    """`text` as a part of a file's name that any file system takes: printable, without separators, not too long."""
    return re.sub(r'[\\/:*?"<>|]', "_", printable(text))[:MAX_NAME]
