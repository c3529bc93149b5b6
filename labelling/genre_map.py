"""Tags -> one of the classes, by a table of words that the user can read and change."""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import UserError
from common.files import hash_of_file

SHIPPED = Path(__file__).with_name("genres.toml")
OTHER = "other"
# A tag of more words is a sentence, and what it names may be a song's title.
_MOST_WORDS = 7
_TABLES = ("classes", "words", "weights", OTHER, "ignore")
_TAGS_TOLD = 5


class Verdict(NamedTuple):
    """What tags say: a class with its share of what all known tags weigh, or none ("") and the reason why not."""

    genre: str
    confidence: float
    reason: str


@dataclass(frozen=True)
class GenreMap:
    """`classes`: names, the position is the genre id. `weights`: of each entry, class (or "other") -> weight."""

    path: Path
    classes: tuple[str, ...]
    weights: Mapping[str, Mapping[str, float]]

    @classmethod
    def read(cls, path: Path = SHIPPED) -> "GenreMap":
        """Read a table as `genres.toml`. Raises `UserError` where it is none."""
        if not path.is_file():
            raise UserError(f"{path}: no such table of genres; copy {SHIPPED.name} and change it")
        try:
            told = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: no TOML ({error}); mend that line") from error
        try:
            return _of_tables(path, told)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: {error}; write it as {SHIPPED.name} is written") from error

    @property
    def sha256(self) -> str:
        """The first digits of the file's hash."""
        return hash_of_file(self.path)

    @cached_property
    def _longest(self) -> int:
        return max(entry.count(" ") + 1 for entry in self.weights)

    def of_tag(self, tag: str) -> Mapping[str, float] | None:
        """The weights of a tag's longest entry, {} where it is to be ignored; None for an unknown tag."""
        return self._of_tag(tag)

    @cached_property
    def _of_tag(self) -> Any:
        return lru_cache(maxsize=100_000)(self._look_up)

    def _look_up(self, tag: str) -> Mapping[str, float] | None:
        words = plain(tag).split()
        if len(words) > _MOST_WORDS:
            return None
        for length in range(min(self._longest, len(words)), 0, -1):
            for first in range(len(words) - length, -1, -1):
                found = self.weights.get(" ".join(words[first : first + length]))
                if found is not None:
                    return found
        return None

    def of_name(self, name: str) -> Mapping[str, float] | None:
        """As `of_tag`, of a name that has to be an entry as a whole: "Jazz", but not "Jazz Police"."""
        return self.weights.get(plain(name))

    def judge(self, tags: Iterable[tuple[str, float]], min_share: float = 0.5) -> Verdict:
        """The class of tags and their weights (votes, scores; above 0).

        It is the one with the largest sum of weights, if that is at least `min_share` of the sum of all classes, and
        larger than that of any other class and of "other". The order of the tags does not matter.
        """
        scores: dict[str, float] = {}
        unknown = set()
        for tag, weight in sorted(tags):
            told = self.of_tag(tag)
            if told is None:
                unknown.add(tag)
            for name, share in (told or {}).items():
                scores[name] = scores.get(name, 0.0) + share * weight
        total = sum(scores.values())
        if not total:
            told_tags = ", ".join(sorted(unknown)[:_TAGS_TOLD])
            return Verdict(
                "", 0.0, f"no tag of a known genre ({told_tags})" if unknown else "no tag that tells a genre"
            )
        best = max(scores.values())
        # Equal but for rounding is equal.
        winners = [name for name, score in sorted(scores.items()) if score >= best * (1 - 1e-9)]
        if len(winners) > 1:
            return Verdict("", 0.0, f"undecided between {' and '.join(winners)}")
        if winners[0] == OTHER:
            return Verdict("", 0.0, "of another genre than the classes")
        if best < min_share * (total - scores.get(OTHER, 0.0)) * (1 - 1e-9):
            return Verdict("", 0.0, f"{winners[0]} has less than the least share")
        return Verdict(winners[0], best / total, "")


def plain(tag: str) -> str:
    """A tag's words: without accents, in lower case, with single spaces where there are signs."""
    text = unicodedata.normalize("NFKD", tag.casefold())
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[\W_]+", " ", text.replace("&", " and ")).split())


def _of_tables(path: Path, told: Mapping[str, Any]) -> GenreMap:
    unknown = sorted(set(told) - set(_TABLES))
    if unknown:
        raise KeyError(f"unknown table [{unknown[0]}]")
    ids = {str(name): int(genre_id) for name, genre_id in told["classes"].items()}
    if sorted(ids.values()) != list(range(len(ids))) or not ids:
        raise ValueError("the ids of [classes] must run 0, 1, ... without gaps")
    if OTHER in ids:
        raise ValueError(f"no class can be called {OTHER!r}")
    words = {**told.get("words", {}), OTHER: told.get(OTHER, {}).get("words", [])}
    weights: dict[str, Mapping[str, float]] = {}
    for name, entries in words.items():
        for entry in entries:
            _add(weights, entry, {name: 1.0})
    for entry in told.get("ignore", {}).get("words", []):
        _add(weights, entry, {})
    for entry, shares in told.get("weights", {}).items():
        _add(weights, entry, {name: float(share) for name, share in shares.items()})
    strangers = sorted({name for shares in weights.values() for name in shares} - {*ids, OTHER})
    if strangers:
        raise ValueError(f"{strangers[0]!r} is none of the [classes]")
    if not weights:
        raise ValueError("there are no words in it")
    return GenreMap(path, tuple(sorted(ids, key=ids.__getitem__)), weights)


def _add(weights: dict[str, Mapping[str, float]], entry: str, shares: Mapping[str, float]) -> None:
    words = plain(entry)
    if not words:
        raise ValueError(f"an entry {entry!r} without letters")
    if words in weights and weights[words] != shares:
        raise ValueError(f"{entry!r} stands in it twice, and not for the same")
    if any(not 0 <= share <= 1 for share in shares.values()):
        raise ValueError(f"the weights of {entry!r} must lie between 0 and 1")
    weights[words] = shares
