"""Rules of ARCHITECTURE.md: what may import what, and how large a file or function may be."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOT_PROGRAMS = {path.stem for path in ROOT.glob("*.py")}
_EVALUATION = {f"evaluation.{name}" for name in ("options", "published", "samples", "statistics", "tables")}
# The rooms that each room may import, besides itself. A module belongs to the longest name that fits.
MAY_IMPORT = {
    "common": set(),
    "models": set(),
    "data": {"common"},
    "audio": {"common", "data"},
    "evaluation.tables": {"common"},
    "evaluation.options": {"common", "data", "models", "audio"},
    "evaluation.published": set(),
    "evaluation.statistics": {"common", "data", "evaluation.tables"},
    "evaluation.samples": {"common", "data", "models", "audio", *_EVALUATION},
    "evaluation.metrics": {"common", "data", "models", "audio", "figures", *_EVALUATION},
    "evaluation": set(),
    "figures": {"common", "data"},
    "page": {"common", "data", "models", "audio", *_EVALUATION, "evaluation.metrics", "figures", "explainable"},
    "labelling": {"common", "data", "evaluation.tables"},
    "explainable": {
        "common",
        "data",
        "models",
        "audio",
        "training",
        "figures",
        "evaluation.statistics",
        "evaluation.tables",
        "evaluation.samples",
    },
    "training": {"common", "data", "models", "evaluation.statistics"},
    "generation": {"common", "data", "models", "audio", *_EVALUATION, "evaluation.metrics", "figures"},
}
MAY_IMPORT["playground"] = set(MAY_IMPORT) - {"labelling"}
MAY_IMPORT["programs"] = set(MAY_IMPORT)
LINES_OF_A_FILE, LINES_OF_A_FUNCTION, MOST_ROOT_PROGRAMS = 350, 60, 17


def sources(*folders: str) -> list[str]:
    """Python files below folders of the repository, as paths relative to the root."""
    return [str(path.relative_to(ROOT)) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


FILES = sources(*{room.partition(".")[0] for room in MAY_IMPORT})


def parsed(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def imported(file: str) -> Iterator[str]:
    """Absolute names of all imports of a file."""
    package = ".".join(Path(file).parts[:-1])
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            place = f"{package}.{node.module or ''}".rstrip(".") if node.level else str(node.module)
            yield from (f"{place}.{name.name}" for name in node.names)  # the name may be a module


def room_of(module: str) -> str | None:
    """The room of a module; None for other packages."""
    return max((room for room in MAY_IMPORT if f"{module}.".startswith(f"{room}.")), key=len, default=None)


def test_imports_go_one_way() -> None:
    offenders = []
    for file in FILES:
        room = room_of(file.removesuffix(".py").replace("/", "."))
        allowed = {None, room, *MAY_IMPORT[room]}
        for module in imported(file):
            if room_of(module) not in allowed or module.partition(".")[0] in ROOT_PROGRAMS:
                offenders.append(f"{file} imports {module}")
    assert not offenders


def test_models_need_torch_alone() -> None:
    packages = {module.partition(".")[0] for file in sources("models") for module in imported(file)}
    assert packages - sys.stdlib_module_names == {"torch", "models"}


def test_programs_of_the_root_are_few_and_do_not_import_one_another() -> None:
    assert len(ROOT_PROGRAMS) <= MOST_ROOT_PROGRAMS
    programs = ROOT_PROGRAMS - {"hubconf", "evaluate"}
    imports = {name: {module.partition(".")[0] for module in imported(f"{name}.py")} for name in programs}
    assert {name: modules & ROOT_PROGRAMS for name, modules in imports.items() if modules & ROOT_PROGRAMS} == {}


def test_files_and_functions_fit_a_screen() -> None:
    offenders = []
    for file in [*FILES, *sources("benchmarks"), *(f"{name}.py" for name in ROOT_PROGRAMS)]:
        lines = (ROOT / file).read_text(encoding="utf-8").count("\n")
        if lines > LINES_OF_A_FILE:
            offenders.append(f"{file}: {lines} lines")
        functions = (node for node in ast.walk(parsed(file)) if isinstance(node, ast.FunctionDef))
        for node in functions:
            if node.end_lineno - node.lineno >= LINES_OF_A_FUNCTION and not node.name.startswith("test_"):
                offenders.append(f"{file}: {node.name}")
    assert not offenders
