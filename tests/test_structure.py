"""What may import what, and how large a file or function may be: the rules of ARCHITECTURE.md."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {path.stem for path in ROOT.glob("*.py")}
EVALUATION = {"evaluation.tables", "evaluation.published", "evaluation.samples", "evaluation.statistics"}
# Rooms by the longest name that fits a module, and the rooms that each may import beside itself.
MAY_IMPORT = {
    "common": set(),
    "models": set(),
    "data": {"common"},
    "audio": {"common", "data"},
    "evaluation.tables": {"common"},
    "evaluation.published": set(),
    "evaluation.statistics": {"common", "data", "evaluation.tables"},
    "evaluation.samples": {"common", "data", "models", "audio", *EVALUATION},
    "evaluation.metrics": {"common", "data", "models", "audio", *EVALUATION},
    "figures": {"common", "data"},
    "page": {"common", "data", "models", "audio", *EVALUATION, "evaluation.metrics", "figures", "explainable"},
    "labelling": {"common", "data", "evaluation.tables"},
    "explainable": {
        "common", "data", "models", "audio", "training", "figures",
        "evaluation.statistics", "evaluation.tables", "evaluation.samples",
    },
    "training": {"common", "data", "models", "evaluation.statistics"},
    "generation": {"common", "data", "models", "audio", *EVALUATION, "evaluation.metrics", "figures"},
}
# Programs outside of the root.
MAY_IMPORT["programs"] = {*MAY_IMPORT}
LINES_OF_A_FILE, LINES_OF_A_FUNCTION, PROGRAMS_IN_THE_ROOT = 350, 60, 15
# An experiment that is read from top to bottom: grid, training, tables and plots.
LONGER_FILES = {"programs/study_compare.py": 500}


def room_of(module: str) -> str | None:
    """The room that a module is in; None for what is not ours."""
    fits = [room for room in MAY_IMPORT if module == room or module.startswith(f"{room}.")]
    return max(fits, key=len, default=None)


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Names of the modules that a file imports, relative ones with the name of their package."""
    package = ".".join(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            place = f"{package}.{node.module or ''}".rstrip(".") if node.level else str(node.module)
            # `from evaluation import compare_labels` imports a module, not a name of its package.
            yield from (f"{place}.{name.name}" for name in node.names)


ROOMS = sorted({room.partition(".")[0] for room in MAY_IMPORT})


@pytest.mark.parametrize("path", sources(*ROOMS), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for module in imported(path):
        assert module.partition(".")[0] not in PROGRAMS, f"{path} imports the program {module}"
        other = room_of(module)
        assert other in (None, room, *MAY_IMPORT[room]), f"{room} may not import {other} ({module})"


def test_models_need_torch_alone() -> None:
    outside = {module.partition(".")[0] for path in sources("models") for module in imported(path)}
    assert outside - sys.stdlib_module_names == {"torch", "models"}


def test_the_root_holds_the_programs_of_the_main_path() -> None:
    assert len(PROGRAMS) <= PROGRAMS_IN_THE_ROOT
    for name in PROGRAMS - {"hubconf", "evaluate"}:
        others = {module.partition(".")[0] for module in imported(ROOT / f"{name}.py")} & PROGRAMS
        assert not others, f"{name}.py imports {others}"


@pytest.mark.parametrize("path", sources(*ROOMS, "tests", "benchmarks") + sorted(ROOT.glob("*.py")), ids=str)
def test_files_and_functions_fit_a_screen(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGER_FILES.get(path.relative_to(ROOT).as_posix(), LINES_OF_A_FILE)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("test_"):
            assert node.end_lineno - node.lineno < LINES_OF_A_FUNCTION, f"{node.name} is too long"


def test_every_program_tells_how_to_use_it() -> None:
    """--help of all programs, in one process: it imports them all."""
    modules = [f"programs.{path.stem}" for path in sources("programs") if path.stem != "__init__"]
    modules.append("benchmarks.label_reproduction")
    program = (
        "import runpy, sys\n"
        f"for name in {sorted(PROGRAMS - {'hubconf'}) + modules!r}:\n"
        "    sys.argv = [name, '--help']\n"
        "    try:\n"
        "        runpy.run_module(name, run_name='__main__')\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 0, name\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: ") == len(PROGRAMS) - 1 + len(modules)
