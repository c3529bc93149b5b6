"""The file in which a language model's answers are kept, a line of JSON for each song."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import UserError
from common.files import errors_naming

UNKNOWN = "unknown"
_BEGINNING = b'{"key": '


class Answer(NamedTuple):
    """A class, "other" or "unknown", and how sure the model says it is, 0 to 1."""

    genre: str
    confidence: float

    @classmethod
    def checked(cls, genre: Any, confidence: Any, genres: Sequence[str]) -> "Answer | None":
        """The answer if it is one: one of `genres`, and a number between 0 and 1."""
        is_number = isinstance(confidence, int | float) and not isinstance(confidence, bool)
        if genre in genres and is_number and 0 <= confidence <= 1:
            return cls(genre, float(confidence))
        return None


@dataclass
class AnswerCache:
    """Answers by the song's key; None: the model was asked, and asked again, and gave none that is valid.

    Only the answers of one model to one prompt are seen. Those of others stay in the file.
    """

    path: Path
    model: str
    prompt: str  # hash
    answers: dict[str, Answer | None]

    @classmethod
    def open(cls, path: Path, model: str, prompt: str, genres: Sequence[str]) -> "AnswerCache":
        """Read what is there. Raises `UserError` where `path` is something else, to which nothing may be added."""
        cache = cls(path, model, prompt, {})
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return cache
        if not content.startswith(_BEGINNING) and not _BEGINNING.startswith(content):
            raise UserError(f"{path}: holds something else than answers of a language model; name another file")
        cache.answers.update(_answers(content.split(b"\n"), model, prompt, genres))
        return cache

    def add(self, answers: Mapping[str, Answer | None]) -> None:
        """Keep these answers for good: they are on the disk when this returns."""
        lines = []
        for key, answer in answers.items():
            genre, confidence = answer or Answer(UNKNOWN, 0.0)
            row = {"key": key, "model": self.model, "prompt": self.prompt, "genre": genre, "confidence": confidence}
            row |= {} if answer else {"invalid": True}
            lines.append(json.dumps({**row, "time": datetime.now(UTC).isoformat(timespec="seconds")}) + "\n")
        if not lines:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with errors_naming(self.path), self.path.open("ab+") as file:
            # Whoever was stopped while writing left half a line.
            if file.tell():
                file.seek(-1, os.SEEK_END)
                lines.insert(0, "" if file.read() == b"\n" else "\n")
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())
        self.answers.update(answers)


def _answers(
    lines: Iterable[bytes], model: str, prompt: str, genres: Sequence[str]
) -> Iterable[tuple[str, Answer | None]]:
    """Key and answer on each line that holds one, of this model to this prompt."""
    for line in lines:
        try:
            row = json.loads(line)
            if (row["model"], row["prompt"]) != (model, prompt):
                continue
            answer = Answer.checked(row["genre"], row["confidence"], genres)
            invalid = row.get("invalid", False)
            if isinstance(row["key"], str) and (answer or invalid):
                yield row["key"], None if invalid else answer
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # half a line, or one that somebody changed: asked anew
