"""ABC tunes -> melodies: repeats played out, bars put into measures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from explainable.melodies.abc_text import read_header, read_music, split_book
from explainable.melodies.bars import lay_out, unfold
from explainable.melodies.tunes import Dropped, Tune, TuneError, require_metre, require_usable


def read_abc(path: Path, *, metres: Sequence[str] = ("4/4",), repeats: bool = True) -> Iterator[Tune | Dropped]:
    """The tunes of an ABC file in their order, each as a melody or with the reason why it is none.

    `metres` are those accepted (see `require_metre`). With `repeats`, repeats are played out with their endings;
    without, everything written is there once. Raises `OSError` where the file cannot be read.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # what ABC files were written in before
    for place, tune in enumerate(split_book(text), start=1):
        yield read_tune(tune, f"{path.stem}/{place}", metres=metres, repeats=repeats)


def read_tune(text: str, name: str, *, metres: Sequence[str] = ("4/4",), repeats: bool = True) -> Tune | Dropped:
    """One tune of an ABC file; see `read_abc`."""
    try:
        header, music = read_header(text)
        bar = require_metre(header.metre or "no metre", metres)
        written = read_music(music, header)
        notes, start, end = lay_out(unfold(written) if repeats else written, bar)
        require_usable(notes)
    except TuneError as error:
        return Dropped(name, error.reason, error.detail)
    return Tune(name, tuple(notes), start, end, header.title)
