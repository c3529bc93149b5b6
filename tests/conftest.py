"""Fixtures that several test files share."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from corpus import write_corpus
from tiny_stores import make_store

from explainable.measures import MeasureSet
from explainable.options import MeasureSettings
from explainable.prepare import prepare_measures
from explainable.tokens import MEASURE

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A roll store of 18 songs of 26 s: three genres, each with 4 songs to train, 1 to validate and 1 to test.

    The same bytes of music in every run. Tests must not write into it.
    """
    return make_store(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with `midi` and `labels.csv`: the songs of `corpus.ROWS`, 6 seconds each."""
    return write_corpus(tmp_path)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail if a test was skipped and NO_SKIPS is set, as in CI, where everything is installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("NO_SKIPS") and skipped:
        for report in skipped:
            print(f"\nskipped although everything is installed: {report.nodeid} {report.longrepr[2]}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def tunes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of thirty tunes of four measures of eighths, quarters and halves, and a jig."""
    path, generator, tunes = tmp_path_factory.mktemp("tunes") / "tunes.abc", random.Random(0), []
    for number in range(30):
        bars = ["".join(generator.choice(["C2", "DE", "G2", "Bc", "A2"]) for _ in range(3)) + "F2" for _ in range(4)]
        tunes.append(f"X:{number}\nT:Tune {number}\nM:4/4\nL:1/8\nK:C\n{'|'.join(bars)}|]\n")
    path.write_text("\n".join([*tunes, "X:99\nM:6/8\nK:C\nA3B3|\n"]), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def measures(tunes: Path) -> MeasureSet:
    """The tunes as they stand."""
    return prepare_measures([tunes], tunes.parent / "measures", MEASURE, MeasureSettings(transpose=False))


@pytest.fixture(scope="module")  # a longer one would leave its event loop running in tests of other files
def browser() -> "Iterator[Browser]":
    """Headless Chromium; without it, or without Playwright, the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install -r requirements-dev.txt")
    program = shutil.which("chromium") or pytest.skip("no browser: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
