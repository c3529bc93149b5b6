"""A page of report.py in a browser: its players play, its folds open, and nothing is fetched or logged as an error."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fake_embedders import FakeRenderer
from pages import options_for
from test_explainable_panel import sweeps

import report
from audio.synthesis import SAMPLE_RATE
from page import assemble

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PLAY = """async player => {
    await player.play();
    await new Promise(resolve => player.ontimeupdate = () => player.currentTime > 0.05 && resolve());
    player.pause();
}"""


class Tone(FakeRenderer):
    """A second of a tone for each roll."""

    def render_rolls(
        self, rolls: Iterable[np.ndarray], frames_per_second: int, workers: int = 0
    ) -> Iterator[np.ndarray]:
        tone = np.sin(np.arange(SAMPLE_RATE) / 9).astype(np.float32) / 4
        return (tone for _ in rolls)


def test_a_page_works_in_a_browser(
    browser: "Browser", tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assemble, "open_renderer", lambda synth, soundfont: Tone())
    options = options_for(tiny_store, tmp_path, piece_minutes=0.2)
    options.metrics.mkdir()
    (options.metrics / "explainable_sweeps.json").write_text(json.dumps(sweeps()), encoding="utf-8")
    file = report.report(options).as_uri()
    page, asked, errors = browser.new_context().new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file)

    folds = page.locator("details").all()
    assert folds
    for fold in folds:  # an outer one stands before those in it
        if fold.get_attribute("open") is None:
            fold.locator("> summary").click()
        assert fold.locator("> :not(summary)").first.is_visible()
    players = page.locator("audio").all()
    assert len(players) > 2
    for player in players:
        player.evaluate(PLAY)
    for slider in page.locator("input[type=range]").all():
        slider.press("ArrowRight")
    assert [address for address in asked if not address.startswith(("data:", "blob:"))] == [file]
    assert not errors
    page.context.close()
