"""The report's figures of labels, on the published files where they are there."""

from pathlib import Path

import pytest

from benchmarks.label_reproduction import Options, reproduce
from common.errors import UserError

PUBLISHED = Path(__file__).resolve().parents[3] / "shared/labels"


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lakh_clean.csv: no such file; name the folder"):
        reproduce(Options(published=tmp_path))


if PUBLISHED.is_dir():  # no part of this repository

    def test_published_figures() -> None:
        """Coverage by each join, and the agreement of artists' tags with All Music Guide."""
        table = reproduce(Options(published=PUBLISHED)).set_index("what")
        assert table.at["MAGD labels found by MD5 sum", "files"] == 4019
        assert table.at["MASD labels found by MD5 sum", "files"] == 3189
        assert table.at["tags found by artist, normalised", "share"] >= 0.6
        assert table.at["labelled by the artist's tags and this table of words", "share"] >= 0.4
        assert table.at["this table's labels agree with MASD", "kappa"] >= 0.46
        published, ours = (f"{labels} labels agree with MASD" for labels in ("published", "this table's"))
        assert table.at[published, "kappa"] < table.at[ours, "kappa"]
