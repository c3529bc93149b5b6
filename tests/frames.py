"""Result tables as tests look at them."""

from typing import Any

import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries, with None for what is not there."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")
