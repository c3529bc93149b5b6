"""Training steps of two revisions on equal data: windows per second of processor time, memory, and losses.

    python -m benchmarks.against --revision 127d5d5
    python -m benchmarks.against --revision HEAD~1 --only paper-3-32,large-1-32 --cache cache/against

Both revisions make their store from the same MIDI files, the built-in corpus. Each case is a process of each revision,
with one thread; the two take steps in turn, for several rounds. The ratio is the median over rounds of the working
tree's windows per second to the revision's, with the smallest and the largest. The losses of the first steps are
compared: the largest difference, relative to losses above 1. `--device cuda` measures by the clock.

"bound": the ratio if the working tree's step consisted of its matrix products and convolutions alone, at the speed that
they have now (CPU only).
"""

import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.compare_runs import WORKING_TREE, git, tree_of
from benchmarks.timing import machine, print_table
from benchmarks.training_steps import CHECKED, PRODUCTS
from common.errors import run_command
from common.options import CheckedOptions, option, parse_options
from data.builtin import export_builtin_corpus

SCRIPT = Path(__file__).with_name("training_steps.py")
HEADING = ("", "windows/s, before", "now", "ratio (range)", "bound", "MB, before", "now", "difference of losses")


@dataclass(frozen=True)
class Case:
    """A stage at one T; the name of its program, a preset, and options that replace the preset's."""

    name: str
    program: str
    preset: str
    changes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_stage(cls, stage: int, preset: str, seq_len: int, **changes: Any) -> "Case":
        length = {"seq_lens": (seq_len,), "epochs": (1,)} if stage == 3 else {"seq_len": seq_len}
        program = ("train_cvae", "train_cgan", "train_hybrid")[stage - 1]
        return cls(f"stage {stage} {preset}, T = {seq_len}", program, preset, length | changes)


CASES = {
    "paper-1-32": Case.of_stage(1, "paper", 32),
    "paper-2-32": Case.of_stage(2, "paper", 32),
    "paper-3-32": Case.of_stage(3, "paper", 32),
    "paper-3-128": Case.of_stage(3, "paper", 128),
    "paper-512-2-32": Case.of_stage(2, "paper-512", 32, batch_size=128),
    "paper-512-3-32": Case.of_stage(3, "paper-512", 32, batch_size=128),
    "paper-512-3-128": Case.of_stage(3, "paper-512", 128, batch_size=64),
    "large-1-32": Case.of_stage(1, "large", 32),
    "large-1-128": Case.of_stage(1, "large", 128),
    "large-2-32": Case.of_stage(2, "large", 32),
    "large-3-32": Case.of_stage(3, "large", 32),
    "large-3-128": Case.of_stage(3, "large", 128),
}


@dataclass(frozen=True)
class Options(CheckedOptions):
    """What to compare."""

    revision: str = option("HEAD", "revision to compare the working tree with")
    only: tuple[str, ...] = option(tuple(CASES), "cases", choices=tuple(CASES))
    rounds: int = option(5, "turns of each side", minimum=1)
    round_seconds: float = option(4.0, "length of a turn", above=0)
    device: str = option("cpu", "where to train", choices=("cpu", "cuda"))
    cache: Path | None = option(None, "folder that keeps the MIDI files and stores; without it, they are removed")


class Side:
    """A process of one revision that takes steps of a case."""

    def __init__(self, tree: Path, case: Case, folder: Path, device: str) -> None:
        arguments = [case.program, case.preset, json.dumps(case.changes | {"device": device}), str(folder)]
        # -P: a folder of ours has modules with the names of packages.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT), *arguments], env=environment(tree), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.rates: list[float] = []
        self.megabytes = 0.0

    def _ask(self, line: int | str) -> dict[str, Any]:
        print(line, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def steps(self, number: int) -> dict[str, Any]:
        """Take steps, and return their `seconds`, `windows`, `megabytes` so far and `losses`."""
        answer = self._ask(number)
        self.megabytes = answer["megabytes"]
        return answer

    def products(self) -> float:
        """The seconds of a step's matrix products and convolutions on the CPU."""
        return self._ask(PRODUCTS)["seconds"]

    def measure(self, number: int) -> None:
        answer = self.steps(number)
        self.rates.append(answer["windows"] / answer["seconds"])

    def close(self) -> None:
        self._process.communicate()


def environment(tree: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}


def open_revision(revision: str, midi: Path, folder: Path) -> tuple[Path, Path]:
    """Unpack a revision and let it make its store; returns its tree, and the folder with the store."""
    tree_id = tree_of(revision)
    work = folder / tree_id[:12]
    if not (work / "store" / "store.json").exists():
        with tarfile.open(fileobj=io.BytesIO(git("archive", tree_id))) as files:
            files.extractall(work / "tree", filter="data")
        command = ["prepare_data.py", "--midi-dir", midi, "--labels", midi / "labels.csv", "--store", work / "store"]
        tree = work / "tree"
        subprocess.run([sys.executable, *command], cwd=tree, env=environment(tree), check=True, stdout=sys.stderr)
    return work / "tree", work


def difference(before: list[dict[str, float]], after: list[dict[str, float]]) -> float:
    """The largest difference of losses, step by step, relative to losses above 1: others are small differences."""
    pairs = [(old[name], new[name]) for old, new in zip(before, after, strict=True) for name in old]
    return max(abs(new - old) / max(abs(old), 1.0) for old, new in pairs)


def compare(case: Case, sides: tuple[Side, Side], rounds: int, round_seconds: float, device: str) -> list[str]:
    """A row of the table: both sides take steps in turn."""
    before, after = sides
    gap = difference(*(side.steps(CHECKED)["losses"] for side in sides))
    single = [side.steps(1) for side in sides]
    of_a_step = max(answer["seconds"] for answer in single)
    for _ in range(rounds):
        for side in sides:
            side.measure(max(1, round(round_seconds / of_a_step)))
    ratios = [new / old for old, new in zip(before.rates, after.rates, strict=True)]
    rates = [f"{statistics.median(side.rates):,.4g}" for side in sides]
    ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    bound = ""
    if device == "cpu":
        products = statistics.median(after.products() for _ in range(rounds))
        bound = f"{single[0]['windows'] / statistics.median(before.rates) / products:.2f}"
    return [case.name, *rates, ratio, bound, *(f"{side.megabytes:,.0f}" for side in sides), f"{gap:.0e}"]


def against(options: Options) -> None:
    """Measure and print the table."""
    with nullcontext(options.cache) if options.cache else tempfile.TemporaryDirectory() as cache:
        folder = Path(cache).resolve()
        midi = folder / "midi"
        export_builtin_corpus(midi)
        revisions = [open_revision(revision, midi, folder) for revision in (options.revision, WORKING_TREE)]
        rows = []
        for name in options.only:
            sides = tuple(Side(tree, CASES[name], work, options.device) for tree, work in revisions)
            rows.append(compare(CASES[name], sides, options.rounds, options.round_seconds, options.device))
            print(*rows[-1], sep=" | ", file=sys.stderr)
            for side in sides:
                side.close()
    print_table(f"{options.revision} and the working tree; {machine()}", HEADING, rows)


if __name__ == "__main__":
    run_command(lambda: against(parse_options(Options, __doc__)))
