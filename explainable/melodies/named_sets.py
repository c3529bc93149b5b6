"""The data sets of the study by name."""

from dataclasses import dataclass

from common.errors import UserError


@dataclass(frozen=True)
class NamedSet:
    """A data set of the study, or its substitute. `corpus`: patterns of files in the music21 corpus."""

    about: str
    corpus: tuple[str, ...] = ()
    exclude: str = r"(?!)"  # regular expression of the file stems left out
    metres: tuple[str, ...] = ("4/4",)


NAMED_SETS = {
    "irish_folk": NamedSet(
        "O'Neill's Music of Ireland and Ryan's Mammoth Collection", ("oneills1850/*.abc", "ryansMammoth/*.abc")
    ),
    # Excluded: a prelude, and chorales that are also there in another scoring.
    "bach": NamedSet("the highest voice of Bach's chorales", ("bach/bwv*.mxl",), exclude="bwv846|.*-(inst|s)$"),
    "turkish_makam": NamedSet("a table of SymbTr's pieces"),
    # POP909's index counts most songs in two; a pair of bars makes one measure of 4/4.
    "pop": NamedSet("the vocal melodies of POP909 as MIDI files", metres=("4/4", "2/4")),
}


def named_set(name: str) -> NamedSet:
    """Raises `UserError` for an unknown name."""
    if name not in NAMED_SETS:
        raise UserError(f"unknown data set {name!r}; known are {', '.join(NAMED_SETS)}")
    return NAMED_SETS[name]
