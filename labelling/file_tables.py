"""Tables about single MIDI files: the metadata of GigaMIDI and of the IMSLP-MIDI dataset, as CSV or parquet.

GigaMIDI (Lee et al. 2025, https://huggingface.co/datasets/Metacreation/GigaMIDI) names files by the MD5 sum of their
bytes. Its styles are lists, in a CSV as text: Python's, or URL-encoded with commas ("alternative-indie%2Cpop"). IMSLP
(https://huggingface.co/datasets/TiMauzi/imslp-midi-by-nc-sa) names files, with composer, era and style.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from common.errors import UserError, reason_of
from labelling.annotations import csv_rows, list_in_text, require_file
from labelling.files import MidiFile
from labelling.msd import Problem, Tags
from labelling.options import ANNOTATION, TITLE
from labelling.sources import Evidence

_ROWS = 50_000  # of a parquet file in memory at a time
_PARQUET = b"PAR1"


class _Form(NamedTuple):
    """A dataset's table: what names a file, and its columns of tags with the source and the kind of each."""

    key: str
    sources: Mapping[str, tuple[str, str]]
    always: tuple[str, ...] = ()  # tags of every file


_MATCHED = "music_style_audio_text_"
_GIGAMIDI = _Form(
    "md5",
    {
        "music_styles_curated": (f"{ANNOTATION} GigaMIDI curated", ANNOTATION),
        "music_style_scraped": (f"{ANNOTATION} GigaMIDI scraped", ANNOTATION),
        **{_MATCHED + name: (f"{TITLE} GigaMIDI {name}", TITLE) for name in ("Discogs", "Lastfm", "Tagtraum")},
    },
)
_IMSLP = _Form(
    "file_name", {name: (f"{ANNOTATION} IMSLP", ANNOTATION) for name in ("era", "style")}, ("classical music",)
)
_NAMES = ("artist", "title", "composer", "era")


def read_file_tables(
    paths: Sequence[Path], files: Sequence[MidiFile], problems: list[Problem]
) -> tuple[list[MidiFile], list[Evidence]]:
    """Return the files with the names that they lack, composer and era, and their tags by source.

    Damaged rows are added to `problems`. Raises `UserError` for a missing file, or one of another form.
    """
    files, numbers = list(files), {"md5": defaultdict(list), "file_name": defaultdict(list)}
    for number, file in enumerate(files):
        numbers["md5"][file.md5].append(number)
        numbers["file_name"][PurePosixPath(file.path).name].append(number)
    tags: dict[tuple[str, str], dict[int, Tags]] = defaultdict(dict)
    for path in paths:
        for form, row in _rows(path, problems):
            key = row[form.key]
            if key is not None and not isinstance(key, str):
                problems.append(Problem(f"{path}: {key}", f"{form.key} is no text"))
                continue
            key = (key or "").lower() if form is _GIGAMIDI else PurePosixPath((key or "").replace("\\", "/")).name
            for number in numbers[form.key].get(key, ()) if key else ():
                files[number] = _with_names(files[number], row)
                for column, source in form.sources.items():
                    named = _texts(row.get(column))
                    if named is None:
                        problems.append(Problem(f"{path}: {key}", f"{column} is no list of texts"))
                    own = [tag for tag, _ in tags[source].get(number, ())] + [*form.always, *(named or ())]
                    if own:
                        tags[source][number] = [(tag, 1.0) for tag in dict.fromkeys(own)]
    return files, [Evidence(name, kind, of_files) for (name, kind), of_files in tags.items() if of_files]


def _with_names(file: MidiFile, row: Mapping[str, Any]) -> MidiFile:
    known = {name: row[name].strip() for name in _NAMES if isinstance(row.get(name), str)}
    known.setdefault("artist", known.get("composer", ""))
    return file._replace(**{name: value for name, value in known.items() if value and not getattr(file, name)})


def _texts(value: Any) -> list[str] | None:
    """The texts of a list, or of text that stands for one: Python's or JSON's syntax, or with commas, URL-encoded.

    None for other values than lists of texts and nothing.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = list_in_text(value)
        if value is None:
            return None
    values = value if isinstance(value, list) else [value]
    if not all(each is None or isinstance(each, str) for each in values):
        return None
    texts = [part.strip() for each in values if each for part in unquote(each).split(",")]
    return [text for text in texts if text]


def _rows(path: Path, problems: list[Problem]) -> Iterator[tuple[_Form, dict[str, Any]]]:
    """The rows, and the form of their table."""
    require_file(path)
    with path.open("rb") as file:
        is_parquet = file.read(len(_PARQUET)) == _PARQUET
    return _parquet_rows(path) if is_parquet else _csv_rows(path, problems)


def _form_of(path: Path, columns: Sequence[str]) -> _Form:
    for form in (_GIGAMIDI, _IMSLP):
        if form.key in columns and form.sources.keys() & set(columns):
            return form
    raise UserError(
        f"{path}: neither GigaMIDI's columns (md5, music_style_scraped, ...) nor IMSLP's (file_name, composer, era, "
        "style); name another table"
    )


def _csv_rows(path: Path, problems: list[Problem]) -> Iterator[tuple[_Form, dict[str, Any]]]:
    forms: list[_Form] = []
    for line, row in csv_rows(path, lambda columns: forms.append(_form_of(path, columns))):
        if None in row or None in row.values():
            problems.append(Problem(f"{path}: line {line}", "more or fewer values than columns"))
        else:
            yield forms[0], row


def _parquet_rows(path: Path) -> Iterator[tuple[_Form, dict[str, Any]]]:
    if not find_spec("pyarrow"):
        raise UserError(f"{path}: parquet needs pyarrow; pip install pyarrow")
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as table:
            form = _form_of(path, table.schema_arrow.names)
            columns = {form.key, *form.sources, *_NAMES} & set(table.schema_arrow.names)
            for batch in table.iter_batches(_ROWS, columns=sorted(columns)):
                yield from ((form, row) for row in batch.to_pylist())
    except (OSError, ValueError) as error:  # pyarrow's for damage
        raise UserError(f"{path}: {reason_of(error)}; download it again") from error
