"""Reproduce the published genre labels of DGM-Project1 with their errors, for comparison only.

They were derived tag by tag from MusicBrainz tags and from answers of a language model, with these errors:

- An alias matches anywhere within a tag: "baroque pop" and "rock opera" are classical, "latin jazz" is pop.
- An unknown tag is a vote for pop, nationalities included: "british, english, soft rock" is pop.
- A list written by Python's `repr` is cut at its commas, also at those within a tag, instead of being parsed.

To label music, use `genre_map`, which has none of these errors.

The aliases in dgm.toml were inferred from the published labels and are fewer than the published ones. Rules of the
published program that change no published label are left out: a rule for "french ...", a vote over the words of a tag,
a search for similar spellings.

Of 17,219 published labels 11 differ, all of them rock. They look like corrections by hand: "Romantic Rock/Pop" (7
files) and "Classical Rock" (1), classical by the aliases of "Romantic Ballad" and "Classical"; one list with "rapcore"
(2); and one file with a list that is pop for seven other files.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from labelling.genre_map import GenreMap, Verdict, plain

_UNKNOWN = "pop"
_PATH = Path(__file__).with_name("dgm.toml")
_TABLE = tomllib.loads(_PATH.read_text(encoding="utf-8"))["aliases"]
# Aliases of equal length stay in the order of the classes: "reggae fusion" is jazz because of "fusion".
_LONGEST_FIRST = sorted(
    ((alias, genre) for genre, aliases in _TABLE.items() for alias in aliases), key=lambda pair: -len(pair[0])
)


def dgm_genre(tags: str, *, unknown: str = _UNKNOWN) -> str:
    """Return the class of most tags in a text such as "Jazz/Pop" or "['british', 'soft rock', 'rock']".

    The result is "classical", "jazz", "rock" or "pop"; in a tie, the first of these. Unknown tags vote for `unknown`,
    which is also the result without any tag: "pop" as published, or "" for no vote.
    """
    votes = Counter(_genre_of_tag(tag) or unknown for tag in re.split("[,/]", tags) if tag.strip())
    best = max(_TABLE, key=votes.__getitem__)
    return best if votes[best] else unknown


@lru_cache(maxsize=100_000)
def _genre_of_tag(tag: str) -> str:
    text = plain(tag)
    return next((genre for alias, genre in _LONGEST_FIRST if alias in text), "")


class DgmMap(GenreMap):
    """The published rules, with the interface of a table of words."""

    @classmethod
    def read(cls, path: Path = _PATH) -> "DgmMap":
        return cls(path, tuple(_TABLE), {plain(alias): {genre: 1.0} for alias, genre in _LONGEST_FIRST})

    def judge(self, tags: Iterable[tuple[str, float]], min_share: float = 0.5) -> Verdict:
        """Return the published vote, which ignores weights and shares and gives a genre to every file."""
        return Verdict(dgm_genre(",".join(tag for tag, _ in tags)), 1.0, "")
