"""Figures of the report and of the paper it replicates, to stand beside ours.

Source: Arboleda and Larralde, CIMAT 2025 (report); Ganorkar and Rathkantiwar, IDICAIEI 2024 (paper [1]). By genre name;
"all" is overall. They were measured on other music (Lakh clean_midi) than whatever the store at hand holds.
"""

from collections.abc import Sequence
from typing import Any

# T = 128, mean of the squared error; with teacher forcing that shows each frame to its own prediction.
MSE = {"classical": 0.020, "jazz": 0.016, "rock": 0.017, "pop": 0.019, "all": 0.018}
# T = 128: summed squared error, KL, ELBO; also teacher-forced, although the report says otherwise.
ELBO = {
    "classical": (329.58, 93.60, -330.52),
    "jazz": (256.27, 83.61, -257.11),
    "rock": (284.69, 93.36, -285.62),
    "pop": (305.12, 91.96, -306.04),
    "all": (294.65, 92.27, -295.58),
}
SEQ_LEN = 128


def published_for(table: dict[str, Any], seq_len: int, genres: Sequence[str]) -> dict[str, Any]:
    """The part of a table that may stand beside a result: none at another T, or for other genres than the report's."""
    return table if seq_len == SEQ_LEN and set(genres) <= table.keys() else {}
