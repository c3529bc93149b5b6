"""Every program shows its options, and imports nothing before that which only its computation needs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = sorted(path.stem for path in ROOT.glob("*.py") if path.stem != "hubconf")
PROGRAMS += sorted(f"programs.{path.stem}" for path in (ROOT / "programs").glob("*.py") if path.stem != "__init__")
SLOW = {"torch", "scipy", "pandas", "matplotlib", "sklearn", "tensorboard", "music21", "gradio"}
RUN = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
finally:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""


@pytest.mark.parametrize("program", PROGRAMS)
def test_options_are_shown_before_anything_slow_is_imported(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", RUN, program, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")
    assert SLOW.isdisjoint(done.stderr.split())


def test_generation_starts_without_pandas() -> None:
    program = "import sys, generation.files, audio.files; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"pandas", "soundfile"}.isdisjoint(done.stdout.split())


def test_generation_and_training_start_without_what_only_evaluations_need() -> None:
    needed = "generation.files, audio.files, training.hybrid_stage, training.loop"
    program = f"import sys, {needed}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"scipy", "sklearn", "tensorboard", "music21"}.isdisjoint(done.stdout.split())
