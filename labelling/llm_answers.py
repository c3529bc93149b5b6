"""Answers of a language model: read from its text, and kept in a file with one line of JSON per song."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import UserError
from common.files import end_of_half_line, errors_naming, read_limited

UNKNOWN = "unknown"
_FIRST_BYTES = b'{"key": '
_JSON = json.JSONDecoder()
_MAX_BYTES = 1 << 30  # of the file of answers
_MAX_FAILURES = 100  # brackets in prose that begin no JSON


class Answer(NamedTuple):
    """A class, "other" or "unknown", with the model's confidence in [0, 1]."""

    genre: str
    confidence: float

    @classmethod
    def of(cls, row: Any, genres: Sequence[str]) -> "Answer | None":
        """Read a row with `genre`, one of `genres` in any case, and `confidence`, a number or a text of one.

        A confidence above 1 is in percent. Returns None for anything else.
        """
        genre, confidence = (row.get(name) if isinstance(row, dict) else None for name in cls._fields)
        said = str(genre).strip().casefold()
        known = [genre] if genre in genres else [name for name in genres if name.casefold() == said]
        try:
            share = float(confidence.replace("%", "") if isinstance(confidence, str) else confidence)
        except (TypeError, ValueError, OverflowError):
            return None
        if share > 1 or "%" in str(confidence):
            share /= 100
        sure = 0 <= share <= 1 and not isinstance(confidence, bool)
        return cls(known[0], share) if sure and len(known) == 1 else None


def read_answers(text: str, n_songs: int, genres: Sequence[str], *, cut: bool = False) -> list[Answer]:
    """Return the answers to the songs 1 to `n_songs`, or [] unless the text holds one for each, and no other.

    They are a JSON array of rows, alone or as "songs" of an object. Thoughts in <think> and other text around the JSON
    are passed over; arrays that contradict each other do not count. Of a `cut` text the whole rows count, if they are
    those of the first songs.
    """
    said = text.rpartition("</think>")[2].partition("<think>")[0]
    values = list(_json_values(said))
    found = [answers for value in values if (answers := _in_order(value, n_songs, genres))]
    if cut and not found:
        found = [_in_order(values, min(len(values), n_songs), genres)]
    return found[0] if found and all(answers == found[0] for answers in found) else []


def _json_values(text: str) -> Iterator[Any]:
    """The JSON objects and arrays in a text that are not part of another."""
    end = failures = 0
    for bracket in re.finditer(r"[\[{]", text):
        if bracket.start() >= end and failures < _MAX_FAILURES:
            try:
                value, end = _JSON.raw_decode(text, bracket.start())
                yield value
            except ValueError:
                failures += 1
            except RecursionError:
                return


def _in_order(value: Any, n_songs: int, genres: Sequence[str]) -> list[Answer]:
    rows = value.get("songs", [value]) if isinstance(value, dict) else value
    if not isinstance(rows, list) or len(rows) != n_songs:
        return []
    answers = {str(row.get("id")).strip() if isinstance(row, dict) else "": Answer.of(row, genres) for row in rows}
    in_order = [answers.get(str(number)) for number in range(1, n_songs + 1)]
    return [] if None in in_order else in_order


@dataclass
class AnswerFile:
    """Stored answers of one model to one prompt, by song key.

    The file may hold answers to other models and prompts as well; they stay.
    """

    path: Path
    model: str
    prompt_hash: str
    answers: dict[str, Answer]

    @classmethod
    def open(cls, path: Path, model: str, prompt_hash: str, genres: Sequence[str]) -> "AnswerFile":
        """Read the file if it exists. Raises `UserError` if it holds something else."""
        file = cls(path, model, prompt_hash, {})
        try:
            content = read_limited(path, _MAX_BYTES) if path.exists() else b""
            if not content.startswith(_FIRST_BYTES) and not _FIRST_BYTES.startswith(content):
                raise ValueError("does not hold answers of a language model")
        except ValueError as error:
            raise UserError(f"{path}: {error}; name another file") from error
        file.answers.update(file._parse(content, genres))
        return file

    def _parse(self, content: bytes, genres: Sequence[str]) -> Iterator[tuple[str, Answer]]:
        for line in content.split(b"\n"):
            try:
                row = json.loads(line)
                if (row["model"], row["prompt"]) != (self.model, self.prompt_hash):
                    continue
                answer = Answer.of(row, genres)
                # Earlier versions noted songs without a valid answer as invalid.
                if isinstance(row["key"], str) and answer and not row.get("invalid"):
                    yield row["key"], answer
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # a truncated or edited line: ask for the song again

    def add(self, answers: Mapping[str, Answer]) -> None:
        """Store answers. They are on disk when this returns."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        common = {"model": self.model, "prompt": self.prompt_hash}
        rows = [{"key": key, **common, **answer._asdict(), "time": time} for key, answer in answers.items()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with errors_naming(self.path), self.path.open("ab+") as file:
            lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
            file.write(end_of_half_line(file) + lines)  # an interrupted run may have left half a line
            file.flush()
            os.fsync(file.fileno())
        self.answers.update(answers)
