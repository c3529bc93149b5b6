"""The panel of controls: what its script is given, what is refused, and that the page has it with sweeps alone."""

import json
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from weights import save_weights

from common.errors import UserError
from data.store import RollStore
from models import Generator
from page import assemble
from page.assemble import ReportOptions, make_page
from page.explainable_panel import read_panel

NAMES = ["rhythmic_complexity", "note_range", "note_density", "average_interval_jump"]


def row(pitch: int, density: float) -> dict[str, Any]:
    return {"notes": [[0, 12, pitch], [12, 12, pitch]], "attributes": [0.1, 0.0, density, 0.0]}


def sweeps() -> dict[str, Any]:
    control = {"attribute": "note_density", "values": [0.1, 0.9], "measures": [[row(60, 0.1), row(71, 0.5)]]}
    model = {"run": "run </script> & \"x\"", "network": "measure_vae", "data": "set", "is_told": False, "frames": 48}
    models = [{**model, "originals": [row(62, 0.2)], "controls": [control]}]
    return {"attributes": NAMES, "frames_per_second": 24, "models": models}


def write(folder: Path, content: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "explainable_sweeps.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


class Elements(HTMLParser):
    """All elements of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.all and self.all[-1][0] == "script" and data.strip():
            self.scripts.append(data)


class SilentRenderer:
    identity = "silence"

    def render_rolls(self, rolls: Iterable[np.ndarray], frames_per_second: int, workers: int) -> Iterator[np.ndarray]:
        for _ in rolls:
            yield np.zeros(1600, np.float32)


@pytest.fixture
def options(tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReportOptions:
    monkeypatch.setattr(assemble, "open_renderer", lambda synth, soundfont: SilentRenderer())
    genres, checkpoints = RollStore.open(tiny_store).genres, tmp_path / "checkpoints"
    save_weights(Generator(len(genres), 32), checkpoints / "hybrid_G_best_T32.pth", genres=genres, seq_len=32)
    folders = {"metrics": tmp_path / "metrics", "runs": tmp_path / "runs", "checkpoints": (checkpoints,)}
    return ReportOptions(store=tiny_store, **folders, real_clips=0, generated_clips=1)


def test_the_panel_knows_the_bounds_of_its_pictures(tmp_path: Path) -> None:
    assert read_panel(tmp_path) is None
    panel = read_panel(write(tmp_path, sweeps()))
    assert panel["pitches"] == {"low": 60, "high": 84} and panel["largest"] == [0.1, 0, 0.5, 0]
    assert panel["models"] == sweeps()["models"] and panel["attributes"] == NAMES


def damaged() -> Iterator[object]:
    yield []
    for key in ("models", "attributes", "frames_per_second"):
        yield {name: value for name, value in sweeps().items() if name != key}
    fewer = sweeps()
    fewer["models"][0]["controls"][0]["values"] = [0.1]
    yield fewer
    high = sweeps()
    high["models"][0]["originals"][0]["notes"][0][2] = 128
    yield high
    yield {**sweeps(), "models": []}
    for value in (float("nan"), float("inf")):
        endless = sweeps()
        endless["models"][0]["controls"][0]["values"] = [0.1, value]
        yield endless


@pytest.mark.parametrize("content", list(damaged()))
def test_what_are_no_sweeps_is_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"explainable_sweeps\.json: not what .* writes; make it again"):
        read_panel(write(tmp_path, content))


def test_a_number_too_large_is_refused(tmp_path: Path) -> None:
    text = json.dumps(sweeps()).replace("0.9", "1e999")
    (tmp_path / "explainable_sweeps.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"not what .* writes"):
        read_panel(tmp_path)


def test_the_page_has_a_panel_where_there_are_sweeps(options: ReportOptions) -> None:
    plain = Elements(make_page(options))
    assert not any(tag in ("script", "select", "input") for tag, _ in plain.all)
    assert "#controls" not in [has.get("href") for _, has in plain.all]
    write(options.metrics, sweeps())
    text = make_page(options)
    page = Elements(text)
    scripts = [has for tag, has in page.all if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "sweeps"}, {}], "nothing is fetched"
    assert json.loads(page.scripts[0])["models"] == sweeps()["models"], "also where a name looks like HTML"
    assert "#controls" in [has.get("href") for _, has in page.all] and not re.search(r"https?://", page.scripts[1])
    assert sum(tag == "input" and has["type"] == "range" for tag, has in page.all) == 1
    assert sum(tag == "select" for tag, _ in page.all) == 3
    assert all(not name.startswith("on") for _, has in page.all for name in has)
