"""The notebooks: short, without outputs, and their code runs."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells_of(notebook: Path) -> list[dict]:
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_has_no_outputs(notebook: Path) -> None:
    code = [cell for cell in cells_of(notebook) if cell["cell_type"] == "code"]
    assert len(cells_of(notebook)) <= 20
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_first_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, with two clips of each genre."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "hubconf.py").symlink_to(ROOT / "hubconf.py")
    names: dict[str, Any] = {}
    for cell in cells_of(ROOT / "notebooks" / "first_hour.ipynb"):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]).replace("CLIPS = 6", "CLIPS = 2"), cell["id"], "exec"), names)
    songs, genres = names["songs"], names["store"].genres
    assert [genres[genre_id] for genre_id in songs["genre_id"]] == [path.partition("/")[0] for path in songs["path"]]
    assert sorted(genres) == ["classical", "jazz", "pop", "rock"] and len(songs) == 8
    np.testing.assert_allclose(names["probability"][names["score"].genres].sum(axis=1), 1)
    assert names["vectors"].shape == (8, names["embedding"].size)
    drawn = [plt.figure(number).axes[0] for number in plt.get_fignums()]
    assert [len(axis.images + axis.lines + axis.collections + axis.patches) for axis in drawn] == [1, 4, 4]
    plt.close("all")
