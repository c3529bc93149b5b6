"""The control panel: its data, errors, and the page with and without it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import Page, options_for

from common.errors import UserError
from page.assemble import make_page
from page.explainable import read_panel

NAMES = ["rhythmic_complexity", "note_range", "note_density", "average_interval_jump"]


def row(pitch: int, density: float) -> dict[str, Any]:
    return {"notes": [[0, 12, pitch], [12, 12, pitch]], "attributes": [0.1, 0.0, density, 0.0]}


def sweeps() -> dict[str, Any]:
    control = {"attribute": "note_density", "values": [0.1, 0.9], "measures": [[row(60, 0.1), row(71, 0.5)]]}
    model = {"run": 'run </script> & "x"', "network": "measure_vae", "data": "set", "frames": 48}
    models = [{**model, "is_decoder_input": False, "originals": [row(62, 0.2)], "controls": [control]}]
    return {"attributes": NAMES, "frames_per_second": 24, "models": models}


def write(folder: Path, content: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "explainable_sweeps.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_the_panel_has_the_bounds_of_all_pictures(tmp_path: Path) -> None:
    assert read_panel(tmp_path) is None
    panel = read_panel(write(tmp_path, sweeps()))
    assert panel == {**sweeps(), "pitches": {"low": 60, "high": 84}, "largest": [0.1, 0, 0.5, 0]}


def damaged() -> Iterator[object]:
    yield []
    for key in ("models", "attributes", "frames_per_second"):
        yield {name: value for name, value in sweeps().items() if name != key}
    high = sweeps()
    high["models"][0]["originals"][0]["notes"][0][2] = 128
    yield high
    yield {**sweeps(), "models": []}


@pytest.mark.parametrize("content", list(damaged()))
def test_other_files_are_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"explainable_sweeps\.json: not what .* writes; make it again"):
        read_panel(write(tmp_path, content))


def test_the_page_has_a_panel_if_there_are_sweeps(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path, real_clips=0, generated_clips=1)
    plain = Page(make_page(options))
    assert not any(tag in ("script", "select", "input") for tag, _ in plain.elements)
    assert not plain.all("a", href="#controls")
    write(options.metrics, sweeps())
    page = Page(make_page(options))
    assert page.unbalanced == [] and page.all("a", href="#controls")
    assert page.all("script") == [{"type": "application/json", "id": "sweeps"}, {}], "nothing is loaded"
    data, script = page.scripts
    assert json.loads(data)["models"] == sweeps()["models"], "also where a name looks like HTML"
    assert "http" not in script
    assert len(page.all("input", type="range")) == 1 and len(page.all("select")) == 3
    assert all(not name.startswith("on") for _, has in page.elements for name in has)
