"""Parse genres on a command line, and name files by genre. The position of a name is its genre id."""

import re
from collections.abc import Sequence

from common.errors import UserError
from common.text import short_name

ALL = "all"


def choose_genres(text: str, genres: Sequence[str], condition: str = "genre") -> list[int]:
    """Return genre ids of comma-separated names (in any case) or ids, or of "all". Raises `UserError` if unknown."""
    if text.strip().lower() == ALL:
        return list(range(len(genres)))
    id_of = {str(genre_id): genre_id for genre_id in range(len(genres))}
    id_of |= {name.lower(): genre_id for genre_id, name in enumerate(genres)}
    wanted = [part.strip() for part in text.split(",")]
    for part in wanted:
        if part.lower() not in id_of:
            known = ", ".join(f"{genre_id} {name}" for genre_id, name in enumerate(genres))
            raise UserError(f"no {condition} is called {part}; known are {known}")
    return list(dict.fromkeys(id_of[part.lower()] for part in wanted))


def choose_one_genre(text: str, genres: Sequence[str], condition: str = "genre") -> int:
    """As `choose_genres`, for exactly one genre. Raises `UserError` for several."""
    chosen = choose_genres(text, genres, condition)
    if len(chosen) != 1:
        raise UserError(f"a MIDI file is encoded as music of one {condition}: choose one of {', '.join(genres)}")
    return chosen[0]


def genre_file_names(genres: Sequence[str]) -> list[str]:
    """Return genre names fit for file names; where some become equal, all get their ids appended."""
    names = [short_name(re.sub(r"\W+", "_", name.lower())) for name in genres]
    return names if len(set(names)) == len(names) else [f"{name}_{number}" for number, name in enumerate(names)]
