"""The published labels of DGM-Project1 are reproduced, errors included."""

from pathlib import Path

import pandas as pd
import pytest

from common.splits import SPLITS
from labelling.dgm import dgm_genre

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "labels"

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


if PUBLISHED.is_dir():  # published by others, and not part of this repository

    def test_eleven_published_labels_differ() -> None:
        paths = [PUBLISHED / f"lakh_clean_merged_homologado_{split}.csv" for split in SPLITS]
        files = pd.concat([pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths])
        assert len(files) == 17_219
        genres = files["genre"].str.lower()  # one row has "Rock"
        assert (files["mbtags"].map(dgm_genre) != genres).sum() == 11
