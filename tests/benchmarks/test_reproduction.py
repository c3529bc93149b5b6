"""The report's numbers on labels, from the published files if they are there."""

from pathlib import Path

import pytest

from benchmarks.label_reproduction import Options, reproduce
from common.errors import UserError

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "labels"


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lakh_clean.csv: no such file; name the folder"):
        reproduce(Options(published=tmp_path))


if PUBLISHED.is_dir():  # published by others, and not part of this repository

    def test_published_numbers() -> None:
        """The table of docs/label_quality.md."""
        table = reproduce(Options(published=PUBLISHED))
        expected = [1870, 4414, 11066, 17208, 502, 95, 4019, 3189, 6914, 1352, 979, 843, 4826]
        assert table["files"].tolist() == expected
        assert table["kappa"].dropna().round(2).tolist() == [0.38, 0.51, 0.51, 0.61]
