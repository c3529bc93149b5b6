"""Map tags to one of the classes with a table of words, which users can read and change."""

import re
import tomllib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import UserError
from common.files import hash_of_file

SHIPPED = Path(__file__).with_name("genres.toml")
OTHER = "other"
# A longer tag is a sentence, and the words in it may be a song's title.
_MAX_WORDS = 7
_TABLES = ("classes", "words", "weights", OTHER, "ignore")
_TAGS_SHOWN = 5
_ROUNDING = 1 - 1e-9  # sums of weights that differ by less are equal


class Verdict(NamedTuple):
    """A class and its share of the weight of all known tags; or "" and the reason."""

    genre: str
    confidence: float
    reason: str


@dataclass(frozen=True, eq=False)  # compared and hashed by identity, for the cache of of_tag
class GenreMap:
    """`classes`: names in the order of their ids. `weights`: entry -> class (or "other") -> weight."""

    path: Path
    classes: tuple[str, ...]
    weights: Mapping[str, Mapping[str, float]]

    @classmethod
    def read(cls, path: Path = SHIPPED) -> "GenreMap":
        """Read a table such as `genres.toml`. Raises `UserError` for another file."""
        if not path.is_file():
            raise UserError(f"{path}: no such table of genres; copy {SHIPPED.name} and change it")
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not TOML ({error}); correct that line") from error
        try:
            return cls(path, _class_names(tables), _entry_weights(tables))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: {error}; use the format of {SHIPPED.name}") from error

    @property
    def sha256(self) -> str:
        """The first digits of the file's hash."""
        return hash_of_file(self.path)

    @lru_cache(maxsize=100_000)  # noqa: B019 (a program has one map)
    def of_tag(self, tag: str) -> Mapping[str, float] | None:
        """Return the weights of a tag's longest entry: {} if it is to be ignored, None for an unknown tag."""
        words = plain(tag).split()
        if len(words) > _MAX_WORDS:
            return None
        for length in range(len(words), 0, -1):
            for first in range(len(words) - length, -1, -1):
                found = self.weights.get(" ".join(words[first : first + length]))
                if found is not None:
                    return found
        return None

    def of_name(self, name: str) -> Mapping[str, float] | None:
        """As `of_tag`, for a name that is an entry as a whole: "Jazz", but not "Jazz Police"."""
        return self.weights.get(plain(name))

    def judge(self, tags: Iterable[tuple[str, float]], min_share: float = 0.5) -> Verdict:
        """Return the class of tags with weights above 0 (votes, scores), in any order.

        It is the class with the largest sum of weights, if that is at least `min_share` of the sum of all classes and
        larger than that of every other class and of "other".
        """
        scores: dict[str, float] = defaultdict(float)
        unknown = set()
        for tag, weight in sorted(tags):
            shares = self.of_tag(tag)
            if shares is None:
                unknown.add(tag)
            for name, share in (shares or {}).items():
                scores[name] += share * weight
        if not (total := sum(scores.values())):
            shown = ", ".join(sorted(unknown)[:_TAGS_SHOWN])
            return _no_genre(f"no tag of a known genre ({shown})" if unknown else "no tag that tells a genre")
        best = max(scores.values())
        winners = [name for name, score in sorted(scores.items()) if score >= best * _ROUNDING]
        if len(winners) > 1:
            return _no_genre(f"undecided between {' and '.join(winners)}")
        if winners[0] == OTHER:
            return _no_genre("of another genre than the classes")
        if best < min_share * (total - scores[OTHER]) * _ROUNDING:
            return _no_genre(f"{winners[0]} has less than the least share")
        return Verdict(winners[0], best / total, "")


def _no_genre(reason: str) -> Verdict:
    return Verdict("", 0.0, reason)


def plain(tag: str) -> str:
    """Return the words of a tag: lower case, no accents, single spaces instead of punctuation."""
    text = unicodedata.normalize("NFKD", tag.casefold())
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[\W_]+", " ", text.replace("&", " and ")).split())


def _class_names(tables: Mapping[str, Any]) -> tuple[str, ...]:
    unknown = sorted(set(tables) - set(_TABLES))
    if unknown:
        raise KeyError(f"unknown table [{unknown[0]}]")
    ids = {str(name): int(genre_id) for name, genre_id in tables["classes"].items()}
    if sorted(ids.values()) != list(range(len(ids))) or not ids:
        raise ValueError("the ids of [classes] must run 0, 1, ... without gaps")
    if OTHER in ids:
        raise ValueError(f"no class can be called {OTHER!r}")
    return tuple(sorted(ids, key=ids.__getitem__))


def _entry_weights(tables: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    words = {**tables.get("words", {}), OTHER: tables.get(OTHER, {}).get("words", [])}
    entries = [(entry, {name: 1.0}) for name, entries in words.items() for entry in entries]
    entries += [(entry, {}) for entry in tables.get("ignore", {}).get("words", [])]
    shared = tables.get("weights", {}).items()
    entries += [(entry, {name: float(share) for name, share in shares.items()}) for entry, shares in shared]
    weights: dict[str, Mapping[str, float]] = {}
    for entry, shares in entries:
        if not (name := plain(entry)):
            raise ValueError(f"the entry {entry!r} has no letters")
        if weights.setdefault(name, shares) != shares:
            raise ValueError(f"the entry {entry!r} occurs twice, with different meanings")
        if any(not 0 <= share <= 1 for share in shares.values()):
            raise ValueError(f"the weights of {entry!r} must lie between 0 and 1")
        strangers = sorted(set(shares) - {*tables["classes"], OTHER})
        if strangers:
            raise ValueError(f"{strangers[0]!r} is not one of the [classes]")
    if not weights:
        raise ValueError("the table has no words")
    return weights
