"""Compare what two revisions compute: run the same short work with both, and compare every file that it writes.

    python -m benchmarks.compare_runs 127d5d5                               # a revision, and the working tree
    python -m benchmarks.compare_runs 127d5d5 HEAD --cache cache/runs       # keep the outcomes of both for next time
    python -m benchmarks.compare_runs HEAD~1 HEAD --only training,study

benchmarks/compare_cases.py lists the work: data, training, the study, generation and evaluation on tiny inputs with
fixed seeds. Each command is a process with one thread on the CPU. Weights, tables, logs, arrays, MIDI and WAV files are
compared by content; pictures, pages and texts only by presence. Timings and status.json are ignored, and so are hashes
of weights files, which contain the names of options. The exit code is 1 if something differs. All takes about 80 s for
a revision.
"""

import functools
import importlib
import io
import itertools
import json
import multiprocessing
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import safetensors.numpy
import torch
from pandas.api.types import is_numeric_dtype

from benchmarks.compare_cases import CASES, LEFT_OUT_OF_PATHS, NEEDS, RENAMED_OPTIONS, RENAMED_PROGRAMS, write_inputs
from common.errors import UserError, run_command
from common.options import CheckedOptions, option, parse_options

REPOSITORY = Path(__file__).resolve().parents[1]
FORK = multiprocessing.get_context("fork")
IMPORTED_ONCE = "matplotlib.pyplot", "scipy.stats", "sklearn.manifold", "torch._dynamo", "torch.utils.tensorboard"
WORKING_TREE, EXIT_CODES = ".", "exit_codes.json"
IGNORED_FILES = re.compile(r"events\.out\.tfevents|\.lock$|\.written$|status\.json$|^output\.txt$|^cache/embeddings")
IGNORED_VALUES = re.compile(r"(^|\.)(seconds|examples_per_second|\w*memory\w*|\w*sha256|checkpoint|origin)$")
SHORT_HASH = re.compile(r"\b[0-9a-f]{12}\b")  # of weights files, which name options, and of source code
MOST_DETAILS = 6  # of each file


@dataclass(frozen=True)
class Options(CheckedOptions):
    """Which revisions, and which work."""

    before: str = option("HEAD", "revision to compare with; also as the first word, without the flag")
    after: str = option(WORKING_TREE, "the other revision; also as the second word; . is the working tree")
    only: tuple[str, ...] = option(tuple(CASES), "groups of cases", choices=tuple(CASES))
    cache: Path | None = option(None, "folder that keeps the outcomes of each revision; without it, they are removed")


@dataclass
class FileComparison:
    """How two files of one path compare."""

    case: str
    path: str
    status: str = "identical"  # or "different", "one side"
    largest: float = 0.0  # absolute difference of numbers
    details: list[str] = field(default_factory=list)
    unmatched: str = ""  # names of values that only one side has


def compare_runs(options: Options) -> list[FileComparison]:
    """Run the work with both revisions, print how the outcomes compare, and return it, a row for each file."""
    with nullcontext(options.cache) if options.cache else tempfile.TemporaryDirectory() as folder:
        before, after = (run_revision(each, options.only, Path(folder)) for each in (options.before, options.after))
        cases = [f"{group}/{case}" for group in options.only for case in CASES[group]]
        files = [file for case in cases for file in compare_folders(before / case, after / case, case)]
    print_report(files)
    return files


def run_revision(revision: str, groups: tuple[str, ...], folder: Path) -> Path:
    """Run the groups of cases, and those that they need, unless `folder` has them; return the folder of outcomes."""
    tree_id = tree_of(revision)
    work = folder.resolve() / tree_id[:12]
    if not (work / "inputs").exists():
        write_inputs(work / "inputs")
    needed = [group for group in CASES if group in groups or any(group in NEEDS.get(each, ()) for each in groups)]
    tree = work / "tree"
    for group in needed:
        done, commands = work / f"{group}.done", json.dumps([CASES[each] for each in (*NEEDS.get(group, ()), group)])
        if done.exists() and done.read_text() == commands:
            continue
        if not tree.exists():
            with tarfile.open(fileobj=io.BytesIO(git("archive", tree_id))) as files:
                files.extractall(tree, filter="data")
            torch.set_num_threads(1)
            for name in IMPORTED_ONCE:
                importlib.import_module(name)
            (work / "released").unlink(missing_ok=True)
            (work / "released").symlink_to(tree / "released")
        shutil.rmtree(work / group, ignore_errors=True)
        for case in CASES[group]:
            run_case(tree, work / group / case, CASES[group][case])
        done.write_text(commands)
    shutil.rmtree(tree, ignore_errors=True)
    return work


def tree_of(revision: str) -> str:
    """The id of a revision's tree; for the working tree, of all its files that git does not ignore."""
    if revision != WORKING_TREE:
        return git("rev-parse", "--verify", f"{revision}^{{tree}}").decode().strip()
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        git("read-tree", "HEAD", **index)
        git("add", "--all", **index)
        return git("write-tree", **index).decode().strip()


def git(*arguments: str, **environment: str) -> bytes:
    """What git prints. Raises `UserError` where it fails."""
    done = subprocess.run(["git", *arguments], capture_output=True, env=os.environ | environment)
    if done.returncode:
        raise UserError(f"git {' '.join(arguments)}: {done.stderr.decode().strip()}")
    return done.stdout


def run_case(tree: Path, folder: Path, commands: list[str]) -> None:
    """Run the commands in `folder`; their exit codes and what they print are written there."""
    folder.mkdir(parents=True)
    codes = {}
    with (folder / "output.txt").open("w") as output:
        for number, command in enumerate(commands):
            started = time.perf_counter()
            print("$", command, file=output, flush=True)
            code = codes[f"{number} {command.split()[0]}"] = fork(tree, folder, command_line(tree, command), output)
            ended = f"exit code {code}, {time.perf_counter() - started:.1f} s"
            print(f"{folder.parent.name}/{folder.name}: {command[:60]}: {ended}", file=sys.stderr)
    (folder / EXIT_CODES).write_text(json.dumps(codes))


def fork(tree: Path, folder: Path, arguments: list[str], output: IO[str]) -> int | None:
    """Run Python with these arguments in a process of its own, and return the exit code."""
    process = FORK.Process(target=run_python, args=(tree, folder, arguments, output.fileno()))
    process.start()
    process.join()
    return process.exitcode


def run_python(tree: Path, folder: Path, arguments: list[str], output: int) -> None:
    """Run a program of `tree` in this forked process, in which `IMPORTED_ONCE` saves seconds of imports."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("benchmarks", "common")]:
        del sys.modules[name]
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ |= {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "Agg"}
    os.chdir(folder)
    sys.path[:] = [str(tree), *(path for path in sys.path if path and Path(path) != REPOSITORY)]
    sys.argv = arguments[arguments[0] == "-m" :]
    if arguments[0] == "-m":
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(arguments[0], run_name="__main__")


def command_line(tree: Path, command: str) -> list[str]:
    """The arguments of Python for a command, with the names that programs and options have in this tree."""
    program, _, options = command.partition(" ")
    if program == "hub":
        return [str(tree.parent / "inputs/hub.py")]
    place = tree / program.replace(".", "/")
    if not (program.endswith(".py") or place.with_suffix(".py").exists() or (place / "__main__.py").exists()):
        for new, old in RENAMED_PROGRAMS.items():
            program = program.replace(new, old)
    start = (str(tree / program),) if program.endswith(".py") else ("-m", program)
    for new, old in RENAMED_OPTIONS.items():
        if new in options and not re.search(rf"{new.split()[0]}\b", help_text(tree, start)):
            options = options.replace(new, old)
    return [*start, *shlex.split(options)]


@functools.cache
def help_text(tree: Path, start: tuple[str, ...]) -> str:
    with tempfile.TemporaryFile("w+") as output:
        fork(tree, tree, [*start, "--help"], output)
        output.seek(0)
        return output.read()


def compare_folders(before: Path, after: Path, case: str) -> list[FileComparison]:
    """Compare the files of two folders by their paths."""
    first, second = files_of(before), files_of(after)
    files = [FileComparison(case, path) for path in sorted(first.keys() | second.keys())]
    for file in files:
        if file.path in first and file.path in second:
            compare_files(first[file.path], second[file.path], file)
        else:
            file.status, file.details = "one side", [f"only {'before' if file.path in first else 'after'}"]
    return files


def files_of(folder: Path) -> dict[str, Path]:
    """The files below a folder by path, without what revisions call differently."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {LEFT_OUT_OF_PATHS.sub("", name): path for name, path in paths.items() if not IGNORED_FILES.search(name)}


def compare_files(before: Path, after: Path, result: FileComparison) -> None:
    """Fill in how the values of two files compare."""
    first, second = (dict(values_of(path)) for path in (before, after))
    unmatched = sorted(first.keys() ^ second.keys())
    result.unmatched = ", ".join(unmatched)
    for name in sorted(first.keys() & second.keys()):
        told, size = difference(first[name], second[name])
        if told:
            result.largest = max(result.largest, size)
            result.details.append(f"{name}: {told}")
    if before.suffix != ".csv":  # columns may come and go
        tensors = [name for name in unmatched if isinstance({**first, **second}[name], np.ndarray)]
        result.details += [f"{name}: only on one side" for name in tensors]
    if result.details:
        result.status = "different"
    if before.name == EXIT_CODES:
        failed = [command for command, code in first.items() if code and second.get(command)]
        result.details += [f"{command}: fails with both revisions" for command in failed]


def values_of(path: Path) -> Iterator[tuple[str, Any]]:
    """The named numbers, texts and arrays in a file, without timings; nothing of a kind that is not compared."""
    readers = {
        ".pth": lambda: torch.load(path, map_location="cpu", weights_only=True),
        ".json": lambda: json.loads(path.read_text()),
        ".jsonl": lambda: [json.loads(line) for line in path.read_text().splitlines()],
        ".csv": lambda: pd.read_csv(path, keep_default_na=False, na_values=[""]).to_dict("series"),
        ".npy": lambda: {"array": np.load(path)},
        ".npz": lambda: dict(np.load(path)),
        ".safetensors": lambda: safetensors.numpy.load_file(path),
        **dict.fromkeys((".mid", ".wav"), lambda: {"bytes": np.frombuffer(path.read_bytes(), np.uint8)}),
    }
    if path.suffix in readers and path.stat().st_size:
        yield from flat(readers[path.suffix](), "")


def flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if IGNORED_VALUES.search(name):
        return
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from flat(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, pd.Series):
        yield name, (value if is_numeric_dtype(value) else value.fillna("")).to_numpy()
    elif isinstance(value, torch.Tensor):
        yield name, value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
    else:
        yield name, value


def difference(before: Any, after: Any) -> tuple[str, float]:
    """How two values differ, "" where they are equal, and by how much at most."""
    first, second = np.asarray(before), np.asarray(after)
    if first.shape != second.shape:
        return f"shape {first.shape} against {second.shape}", 0.0
    numbers = all(each.dtype.kind in "biuf" for each in (first, second))
    if not numbers:
        first, second = (np.array([SHORT_HASH.sub("", str(item)) for item in each.flat]) for each in (first, second))
    unequal = (first != second) & ~((first != first) & (second != second))  # NaN is equal to NaN
    if not unequal.any():
        return "", 0.0
    count = f"{unequal.sum()} of {first.size} differ" if first.size > 1 else "differs"
    first, second = first[unequal], second[unequal]
    if not numbers:
        return f"{count}: {first[0][:60]!r} against {second[0][:60]!r}", 0.0
    gap = np.nan_to_num(np.abs(first.astype(float) - second.astype(float)), nan=np.inf)
    relative = gap / np.abs(first.astype(float)).clip(1e-30)
    return f"{count}, by at most {gap.max():.3g} (relative {relative.max():.3g})", float(gap.max())


def print_report(files: list[FileComparison]) -> None:
    """Print a row for each kind of file and case, and below it what differs."""
    frame = pd.DataFrame(files).assign(kind=[Path(file.path).suffix for file in files])
    groups = frame.groupby(["case", "kind"], sort=False)
    counts = pd.crosstab([frame["case"], frame["kind"]], frame["status"]).join(groups["largest"].max())
    print(counts.to_string())
    for file in files:
        if file.details:
            more = len(file.details) - MOST_DETAILS
            shown = [*file.details[:MOST_DETAILS], *([f"and {more} more"] if more > 0 else [])]
            print(f"\n{file.status}: {file.case}/{file.path}", *shown, sep="\n    ")
    for names, rows in frame[frame["unmatched"] != ""].groupby("unmatched", sort=False):
        first = f"{rows['case'].iloc[0]}/{rows['path'].iloc[0]}"
        print(f"\nvalues on one side alone, in {len(rows)} files such as {first}: {names[:300]}")


def main(arguments: list[str]) -> None:
    words = [*itertools.takewhile(lambda word: not word.startswith("-"), arguments)]
    flags = [f"{flag}={word}" for flag, word in zip(("--before", "--after"), words[:2], strict=False)]
    files = compare_runs(parse_options(Options, __doc__, [*flags, *arguments[len(flags) :]]))
    if any(file.status != "identical" for file in files):
        sys.exit(1)


if __name__ == "__main__":
    run_command(lambda: main(sys.argv[1:]))
