"""Published values, shown beside ours: of the report that this repository follows, and of the paper it replicates.

Report: Arboleda and Larralde, CIMAT 2025; paper [1]: Ganorkar and Rathkantiwar, IDICAIEI 2024. Values by T and genre
name; "all" is overall. They were measured on other music (Lakh clean_midi) than ours.
"""

from collections.abc import Sequence
from typing import Any

# Mean squared error, with teacher forcing that shows each frame to its own prediction.
MSE = {128: {"classical": 0.020, "jazz": 0.016, "rock": 0.017, "pop": 0.019, "all": 0.018}}
# Summed squared error, KL, ELBO; also teacher-forced, although the report says otherwise.
ELBO = {
    128: {
        "classical": (329.58, 93.60, -330.52),
        "jazz": (256.27, 83.61, -257.11),
        "rock": (284.69, 93.36, -285.62),
        "pop": (305.12, 91.96, -306.04),
        "all": (294.65, 92.27, -295.58),
    }
}
# On embeddings of the Audio Spectrogram Transformer.
FAD = {
    32: {"classical": 10.34, "jazz": 9.03, "rock": 7.22, "pop": 10.06, "all": 6.79},
    64: {"classical": 8.11, "jazz": 7.72, "rock": 9.78, "pop": 7.93, "all": 6.58},
    128: {"classical": 14.54, "jazz": 12.95, "rock": 12.90, "pop": 11.20, "all": 11.02},
}
# Paper [1] does not state T: its values are shown at every T. Its protocol differs from the report's.
FAD_PAPER = {seq_len: {"classical": 1.8, "jazz": 1.9, "rock": 2.0, "pop": 1.7, "all": 1.85} for seq_len in FAD}
# Paper [1], by a classifier that it does not describe.
GENRE_ACCURACY_PAPER, INCEPTION_SCORE_PAPER = 0.945, 4.75


def published_for(table: dict[int, dict[str, Any]], seq_len: int, genres: Sequence[str]) -> dict[str, Any]:
    """Published values by genre name; empty at a T that was not published, or for other genres than the report's."""
    by_genre = table.get(seq_len, {})
    return by_genre if set(genres) <= by_genre.keys() else {}
