"""The published genre labels of DGM-Project1, reproduced with their faults, for comparison only.

They were made of MusicBrainz tags and an LLM's answers, tag by tag, and so they are here:

- An alias counts wherever its letters stand: "baroque pop" and "rock opera" are classical, "latin jazz" is pop.
- What is unknown is a vote for pop, nationalities included: "british, english, soft rock" is pop.
- A list written by Python's `repr` is not read as one but cut at its commas, also at those within a tag.

To label music, use `genre_map`, which has none of these faults.

The aliases in dgm.toml were inferred from the published labels, and are fewer than the published ones. What the
published program is said to do besides, and no published label shows, is left out: a rule for "french ...", a vote over
a tag's words, a search for similar spellings.

Of 17,219 published labels 11 differ, all of them rock. They seem to be corrections by hand: "Romantic Rock/Pop" (7
files) and "Classical Rock" (1), classical by the aliases that make "Romantic Ballad" and "Classical" so; one list with
"rapcore" in it (2); and one file whose list is pop in seven other files.
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
# Among aliases of one length the order of the classes stays: "reggae fusion" is jazz, as "fusion" is.
_LONGEST_FIRST = sorted(
    ((alias, genre) for genre, aliases in _TABLE.items() for alias in aliases), key=lambda pair: -len(pair[0])
)


def dgm_genre(tags: str, *, unknown: str = _UNKNOWN) -> str:
    """The class of most tags in a text of them: "Jazz/Pop", or "['british', 'soft rock', 'rock']".

    One of "classical", "jazz", "rock" and "pop"; in a tie the first of them, in this order. `unknown` is what unknown
    tags vote for, and what the text without tags is: "pop" as published, or "" for nothing.
    """
    votes = Counter(_genre_of_tag(tag) or unknown for tag in re.split("[,/]", tags) if tag.strip())
    best = max(_TABLE, key=votes.__getitem__)
    return best if votes[best] else unknown


@lru_cache(maxsize=100_000)
def _genre_of_tag(tag: str) -> str:
    """ "" for an unknown one."""
    text = plain(tag)
    return next((genre for alias, genre in _LONGEST_FIRST if alias in text), "")


class DgmMap(GenreMap):
    """The published rules in the place of a table of words."""

    @classmethod
    def read(cls, path: Path = _PATH) -> "DgmMap":
        """The shipped one; there is no other."""
        return cls(path, tuple(_TABLE), {plain(alias): {genre: 1.0} for alias, genre in _LONGEST_FIRST})

    def judge(self, tags: Iterable[tuple[str, float]], min_share: float = 0.5) -> Verdict:
        """The published vote, in which weights and shares count for nothing, and everything has a genre."""
        return Verdict(dgm_genre(",".join(tag for tag, _ in tags)), 1.0, "")
