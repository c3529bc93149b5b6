"""All pages are made with a fake synthesiser."""

import pytest
from fake_embedders import FakeRenderer

from page import assemble


@pytest.fixture(autouse=True)
def fake_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "open_renderer", lambda synth, soundfont: FakeRenderer())
