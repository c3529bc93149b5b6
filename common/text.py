"""Text from outside, made fit to show."""


def printable(text: str) -> str:
    """`text` without anything that a terminal would obey: what cannot be printed is written as in Python."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
