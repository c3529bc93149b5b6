"""The published labels of DGM-Project1 are reproduced, errors included."""

import pytest

from labelling.dgm import dgm_genre

GENRES = {
    "classical": [
        "Classical", "Film Score",
        "baroque pop", "rock opera",  # an alias within a tag
        "Jazz/Classical",  # ties: classical before jazz before rock before pop
    ],
    "jazz": [
        "Bossa-Nova", "jazz rap", "reggae fusion", "rock jazz",  # of two aliases of one length, the earlier class
        "Rock, Jazz", "Latin Pop / Bossa Nova", "['jazz and blues']",
    ],
    "rock": [
        "HEAVY METAL", "Shoegaze", "Röck", "pop rock", "shamrock", "Country/Rock", "Pop/Rock",
        "['american', 'classic pop and rock']", "['british', 'soft rock', 'rock']", """["rock'n'roll", 'oldies']""",
    ],
    "pop": [
        "Synth-pop", "therapy", "latin jazz", "country rock", "electronic rock", "Jazz Hip-Hop", "rock pop",
        "Disco", "Operetta", "Renaissance", "", " , ", "[]",  # unknown
        "Country Rock", "Jazz/Pop/Pop",
        "['british', 'english', 'soft rock']", "['uk', 'british', 'duo', 'english', 'classical']",
        "['rock', 'earth, wind and fire']",  # cut at the comma within a tag
    ],
}  # fmt: skip


@pytest.mark.parametrize(("tags", "genre"), [(tags, genre) for genre, texts in GENRES.items() for tags in texts])
def test_genres_of_tags(tags: str, genre: str) -> None:
    assert dgm_genre(tags) == genre
