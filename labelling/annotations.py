"""Read annotations and catalogues as text: genres of Million Song tracks or of MD5 sums, and artists' tags."""

import ast
import csv
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from common.errors import UserError
from common.files import require_regular
from labelling.msd import Problem, Tags, Track

# Weights of the two labels of a line in files that rank them: labels with two thirds of the votes (tagtraum CD1).
_RANKED = (2 / 3, 1 / 3)
_TRACK_ID_CHARACTERS = 18
_DATASET_SEPARATOR = "<SEP>"
_MAX_BYTES, _MAX_JSON_BYTES = 1 << 36, 1 << 30  # JSON is read as a whole
csv.field_size_limit(10_000_000)  # characters


def read_match_scores(path: Path, wanted: Collection[str], problems: list[Problem]) -> dict[str, Tags]:
    """Read `match_scores.json`: for each wanted MD5 sum the matching tracks with scores from 0 to 1.

    Raises `UserError` for another file.
    """
    matches: dict[str, list[tuple[str, float]]] = {}
    for track, scores in _json_object(path, "track ids, with MD5 sums and scores").items():
        try:
            found = [(md5, float(score)) for md5, score in scores.items() if md5 in wanted]
            if not all(0 <= score <= 1 for _, score in found):
                raise ValueError
        except (AttributeError, TypeError, ValueError, OverflowError):
            problems.append(Problem(f"{path}: {track}", "expected MD5 sums with scores from 0 to 1"))
            continue
        for md5, score in found:
            if score:
                matches.setdefault(md5, []).append((track, score))
    return matches


def read_track_labels(path: Path, wanted: Collection[str], problems: list[Problem]) -> dict[str, Tags]:
    """Read a .cls file: the labels of the wanted tracks, with weights.

    A line is a track id, a tab and a label. Files that rank labels add another tab and a second label: then the first
    has weight 2/3. Lines that begin with # are comments. Raises `UserError` if there is no such file.
    """
    labels: dict[str, Tags] = {}
    for number, line in _lines(path):
        if line.startswith("#") or not line.strip():
            continue
        track, *fields = (field.strip() for field in line.split("\t"))
        named = [label for label in fields if label]
        if len(track) != _TRACK_ID_CHARACTERS or not 1 <= len(named) <= len(_RANKED):
            problems.append(Problem(f"{path}: line {number}", "expected a track id with one or two labels"))
        elif track in wanted:
            labels[track] = list(zip(named, _RANKED if len(named) > 1 else (1.0,), strict=True))
    return labels


def read_md5_labels(path: Path, wanted: Collection[str], problems: list[Problem]) -> dict[str, dict[str, Tags]]:
    """Read a JSON map, annotation -> MD5 sum -> labels: for each annotation the labels of the wanted files, counted.

    A file that matches several tracks has one label per track. Raises `UserError` for another file.
    """
    annotations: dict[str, dict[str, Tags]] = {}
    for name, labels_of in _json_object(path, "annotations, with MD5 sums and labels").items():
        annotations[name] = {}
        if not isinstance(labels_of, dict) or not _are_texts([name]):
            problems.append(Problem(f"{path}: {name}", "expected MD5 sums with lists of labels"))
            continue
        for md5, labels in labels_of.items():
            if md5 in wanted and _are_texts(labels):
                annotations[name][md5] = sorted(Counter(labels).items())
            elif md5 in wanted:
                problems.append(Problem(f"{path}: {name}: {md5}", "expected a list of labels"))
    return annotations


def iter_unique_tracks(path: Path, problems: list[Problem]) -> Iterator[Track]:
    """Yield the songs of `unique_tracks.txt`: track id, song id, artist and title, separated by `<SEP>`."""
    for number, line in _lines(path):
        fields = line.rstrip("\r\n").split(_DATASET_SEPARATOR)
        if len(fields) == 4:
            yield Track(fields[0], fields[2], fields[3])
        elif line.strip():
            problems.append(Problem(f"{path}: line {number}", "expected track, song, artist and title with <SEP>"))


def iter_metadata_csv(path: Path, problems: list[Problem]) -> Iterator[Track]:
    """Yield the songs of a CSV with the columns artist, title and mbtags: a list in Python or JSON syntax, or one tag.

    The lists are sorted by votes but do not contain them: the k-th tag has weight 1 / sqrt(k). Raises `UserError` if
    there is no such file or column, or a quote is opened and never closed.
    """

    def check(columns: Sequence[str]) -> None:
        if missing := {"artist", "title", "mbtags"} - set(columns):
            absent = " and ".join(sorted(missing))
            raise UserError(f"{path}: no column {absent}; name a CSV with artist,title,mbtags")

    for line, row in csv_rows(path, check):
        if track := _track(row):
            yield track
        else:
            reason = "expected an artist, a title, and mbtags that are a list of texts"
            problems.append(Problem(f"{path}: line {line}", reason))


def csv_rows(path: Path, check: Callable[[Sequence[str]], None]) -> Iterator[tuple[int, dict[str | None, Any]]]:
    """Yield the rows of a CSV by column, each with the number of its last line. `check` gets the names of the columns.

    A row that is too short has the value None, one that is too long the key None. Raises `UserError` if there is no
    such file, or a quote is opened and never closed.
    """
    own: list[str] = []  # lines of the row at hand
    with _opened(path, newline="") as file:
        reader = csv.DictReader(line for line in file if not own.append(line))
        try:
            check(reader.fieldnames or ())
            own.clear()
            for row in reader:
                if len(own) > 1:  # check its quotes strictly
                    list(csv.reader(own, strict=True))
                own.clear()
                yield reader.line_num, row
        except csv.Error as error:
            line = reader.reader.line_num - len(own) + 1
            hint = "is a quote opened there and never closed?"
            raise UserError(f"{path}: the row of line {line} is not CSV ({error}); {hint}") from error


def _track(row: dict[str, str | None]) -> Track | None:
    """None for a row without names, or with other tags than texts."""
    artist, title, text = (row[name] for name in ("artist", "title", "mbtags"))
    tags: Any = [text.strip()] if text and text.strip() else []
    if text and text.lstrip().startswith("["):
        tags = list_in_text(text)
    if None in (artist, title, text) or not _are_texts(tags):
        return None
    return Track("", artist, title, tuple((tag, place**-0.5) for place, tag in enumerate(tags, 1)))


def list_in_text(text: str) -> Any:
    """The value of a list in Python or JSON syntax; None for damaged text."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _are_texts(value: Any) -> bool:
    """Whether a value is a list of texts that can be written to a file."""
    try:
        return isinstance(value, list) and all(isinstance(text, str) and text.encode() is not None for text in value)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with _opened(path, newline="\n") as file:
        yield from enumerate(file, start=1)


def _opened(path: Path, newline: str) -> TextIO:
    require_file(path)
    return path.open(encoding="utf-8-sig", errors="replace", newline=newline)


def _json_object(path: Path, content: str) -> dict[str, Any]:
    require_file(path, _MAX_JSON_BYTES)
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); download it again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: not an object of {content}")
    return value


def require_file(path: Path, max_bytes: int = _MAX_BYTES) -> None:
    """Raise `UserError` where `path` is no regular file, or too large."""
    try:
        require_regular(path, max_bytes)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; name another, or leave the option out") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}; name another file") from error
