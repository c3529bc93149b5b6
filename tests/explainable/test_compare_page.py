"""The comparison on the project's page."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from test_compare_verdicts import table

from common.errors import UserError
from evaluation.tables import read_csv
from explainable.comparison.grid import IRISH, MAKAM
from explainable.comparison.verdicts import NOT_TESTED
from page.explainable_results import TABLES, explainable_parts
from page.result_folder import AbsentFile, Picture
from page.tables import ShownTable
from programs.study_compare import make_tables


def some_runs() -> pd.DataFrame:
    frame = table()
    return frame[frame["data"].isin([IRISH, MAKAM]) & frame["latent"].isin([32, 128, 256])]


class Folder:
    """What the part asks of the page's folder of results."""

    def __init__(self, metrics: Path) -> None:
        self.options = SimpleNamespace(metrics=metrics)

    def command(self, program: str, *names: str) -> str:
        return f"python {program}"

    def picture(self, name: str, alt: str, command: str) -> Picture:
        return Picture(name, alt, str((self.options.metrics / name).stat().st_size))


def test_the_page_shows_what_the_comparison_writes(tmp_path: Path) -> None:
    some_runs().to_csv(tmp_path / "explainable.csv", index=False)
    make_tables(tmp_path)
    parts = explainable_parts(Folder(tmp_path))
    tables = [part for part in parts if isinstance(part, ShownTable)]
    assert [part.source for part in tables] == [name for name, *_ in TABLES] and parts[0] is tables[0]
    assert len([part for part in parts if isinstance(part, Picture)]) == 5
    verdicts, told = tables[0], read_csv(tmp_path / TABLES[0][0])["verdict"]
    tested = told[told != NOT_TESTED].tolist()
    assert 0 < len(tested) < len(told) and [line.cells[1].text for line in verdicts.lines] == tested
    (note,) = verdicts.notes
    assert note.startswith(f"{len(told) - len(tested)} of {len(told)} claims are not tested; {TABLES[0][0]} tells")
    assert verdicts.lines[0].cells[2].text.startswith("z 128: measure_vae 0.990")


def test_what_is_absent_is_named(tmp_path: Path) -> None:
    assert explainable_parts(Folder(tmp_path)) == [
        AbsentFile("explainable_verdicts.csv", "python -m programs.study_compare")
    ]
    frame = some_runs()
    frame[frame["training_measures"].isna() & frame["transposed"]].to_csv(tmp_path / "explainable.csv", index=False)
    make_tables(tmp_path)
    shown = {part.source for part in explainable_parts(Folder(tmp_path))}
    assert "explainable_by_size.csv" in shown and not any("training_set" in name for name in shown)


def test_a_table_of_another_version_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"claim": ["a"]}).to_csv(tmp_path / "explainable_verdicts.csv", index=False)
    with pytest.raises(UserError, match=r"explainable_verdicts.csv: has no column verdict; .* make it again"):
        explainable_parts(Folder(tmp_path))
