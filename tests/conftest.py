"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest
from corpus import write_corpus
from tiny_stores import make_store


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
