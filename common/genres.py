"""Genres, or composers or moods, as a user names them. Their names come from weights; the position is the genre id."""

import re
from collections.abc import Sequence

from common.errors import UserError

ALL = "all"


def choose_genres(text: str, genres: Sequence[str], condition: str = "genre") -> list[int]:
    """Genre ids for names (in any case) or numbers with commas, or "all". Raises `UserError` for an unknown one."""
    if text.strip().lower() == ALL:
        return list(range(len(genres)))
    known = {str(genre_id): genre_id for genre_id in range(len(genres))}
    known |= {name.lower(): genre_id for genre_id, name in enumerate(genres)}
    wanted = [part.strip() for part in text.split(",")]
    for part in wanted:
        if part.lower() not in known:
            told = ", ".join(f"{genre_id} {name}" for genre_id, name in enumerate(genres))
            raise UserError(f"no {condition} is called {part}; known are {told}")
    return list(dict.fromkeys(known[part.lower()] for part in wanted))


def choose_one_genre(text: str, genres: Sequence[str], condition: str = "genre") -> int:
    """As `choose_genres`; raises `UserError` unless it is exactly one."""
    chosen = choose_genres(text, genres, condition)
    if len(chosen) != 1:
        raise UserError(f"a MIDI file is encoded as music of one {condition}: choose one of {', '.join(genres)}")
    return chosen[0]


def genre_file_names(genres: Sequence[str]) -> list[str]:
    """Genre names as parts of file names; with their number where two would be the same."""
    names = [re.sub(r"\W+", "_", name.lower()) for name in genres]
    return [f"{name}_{genre_id}" if names.count(name) > 1 else name for genre_id, name in enumerate(names)]
