"""The file that keeps the answers of a language model: one line of JSON per song."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import UserError
from common.files import errors_naming

UNKNOWN = "unknown"
_FIRST_BYTES = b'{"key": '


class Answer(NamedTuple):
    """A class, "other" or "unknown", with the model's confidence in [0, 1]."""

    genre: str
    confidence: float

    @classmethod
    def checked(cls, genre: Any, confidence: Any, genres: Sequence[str]) -> "Answer | None":
        """None unless the genre is one of `genres` and the confidence a number in [0, 1]."""
        is_number = isinstance(confidence, int | float) and not isinstance(confidence, bool)
        return cls(genre, float(confidence)) if genre in genres and is_number and 0 <= confidence <= 1 else None


@dataclass
class AnswerFile:
    """Stored answers of one model to one prompt, by song key. None: the model gave no valid answer in two requests.

    The file may hold answers to other models and prompts as well; they stay.
    """

    path: Path
    model: str
    prompt_hash: str
    answers: dict[str, Answer | None]

    @classmethod
    def open(cls, path: Path, model: str, prompt_hash: str, genres: Sequence[str]) -> "AnswerFile":
        """Read the file if it exists. Raises `UserError` if it holds something else."""
        file = cls(path, model, prompt_hash, {})
        content = path.read_bytes() if path.exists() else b""
        if not content.startswith(_FIRST_BYTES) and not _FIRST_BYTES.startswith(content):
            raise UserError(f"{path}: does not hold answers of a language model; name another file")
        file.answers.update(file._parse(content, genres))
        return file

    def _parse(self, content: bytes, genres: Sequence[str]) -> Iterator[tuple[str, Answer | None]]:
        for line in content.split(b"\n"):
            try:
                row = json.loads(line)
                if (row["model"], row["prompt"]) != (self.model, self.prompt_hash):
                    continue
                answer, invalid = Answer.checked(row["genre"], row["confidence"], genres), row.get("invalid", False)
                if isinstance(row["key"], str) and (answer or invalid):
                    yield row["key"], None if invalid else answer
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # a truncated or edited line: ask for the song again

    def add(self, answers: Mapping[str, Answer | None]) -> None:
        """Store answers. They are on disk when this returns."""
        if not answers:
            return
        time = datetime.now(UTC).isoformat(timespec="seconds")
        rows, no_answer = [], Answer(UNKNOWN, 0.0)
        for key, answer in answers.items():
            row = {"key": key, "model": self.model, "prompt": self.prompt_hash, **(answer or no_answer)._asdict()}
            rows.append({**row, **({} if answer else {"invalid": True}), "time": time})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with errors_naming(self.path), self.path.open("ab+") as file:
            if file.tell():  # an interrupted run may have left half a line
                file.seek(-1, os.SEEK_END)
                file.write(b"" if file.read() == b"\n" else b"\n")
            file.write("".join(json.dumps(row) + "\n" for row in rows).encode())
            file.flush()
            os.fsync(file.fileno())
        self.answers.update(answers)
