"""Clips of two revisions with the shipped weights: notes a second, embeddings a second, and the first clip's time.

    python -m benchmarks.clips --revision 127d5d5

Both revisions run as processes with one thread, in turn, and processor time counts. Ratios are the medians over rounds
of the working tree's rate to the revision's, with the smallest and the largest. "difference": of sampled cells that
sound in one revision only, as a share of those of the other, and of embeddings, relative to the largest number.
"""

import io
import json
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.against import environment
from benchmarks.compare_runs import REPOSITORY, git
from benchmarks.timing import machine, parse_arguments, print_table

SCRIPT = Path(__file__).with_name("clip_steps.py")
CASES = {
    "notes/s, float32, batch 1": "notes float32 1 4",
    "notes/s, float64, batch 1": "notes float64 1 4",
    "notes/s, float32, batch 64": "notes float32 64 64",
    "notes/s, float64, batch 64": "notes float64 64 64",
    "musicnn, clips of 9 s a second": "musicnn 4",
}
GENERATE = ["generate.py", "--genre", "jazz", "--count", "1", "--preset", "large"]


class Side:
    """A process of one revision that samples and embeds."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        command = [sys.executable, "-P", str(SCRIPT), str(REPOSITORY / "released")]
        self._process = subprocess.Popen(
            command, env=environment(tree), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def answer(self, request: str) -> dict[str, Any]:
        """`seconds`, `items` and `result` of a request to `benchmarks.clip_steps`."""
        print(request, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


def difference(request: str, before: list[float], after: list[float]) -> float:
    """See the module's description."""
    if request.startswith("notes"):
        return len(set(before) ^ set(after)) / len(before)
    return max(abs(new - old) for old, new in zip(before, after, strict=True)) / max(map(abs, before))


def row_of(name: str, rates: list[tuple[float, float]], last: str) -> list[str]:
    """A row of the table from the rates of both sides, round by round."""
    ratios = [new / old for old, new in rates]
    medians = [f"{statistics.median(side):,.4g}" for side in zip(*rates, strict=True)]
    return [name, *medians, f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", last]


def compare(name: str, sides: tuple[Side, Side], rounds: int) -> list[str]:
    """A row of the table: both sides work in turn, the first time to warm up."""
    answers = [[side.answer(CASES[name]) for side in sides] for _ in range(rounds + 1)]
    rates = [tuple(answer["items"] / answer["seconds"] for answer in both) for both in answers[1:]]
    return row_of(name, rates, f"{difference(CASES[name], *(answer['result'] for answer in answers[0])):.0e}")


def first_clip_seconds(tree: Path) -> float:
    """Processor time of generate.py for one clip."""
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, *GENERATE, "--output", f"{folder}/samples"]
        subprocess.run(command, cwd=tree, env=environment(tree), check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    options = parse_arguments(
        __doc__, revision=("127d5d5", "revision to compare the working tree with"), rounds=(5, "turns of each side")
    )
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        with tarfile.open(fileobj=io.BytesIO(git("archive", options.revision))) as files:
            files.extractall(tree, filter="data")
        sides = Side(tree), Side(REPOSITORY)
        rows = [compare(name, sides, options.rounds) for name in CASES]
        for side in sides:
            side.close()
        times = [tuple(1 / first_clip_seconds(side.tree) for side in sides) for _ in range(options.rounds)]
        rows.append(row_of("first clips a second, generate.py", times, ""))
    title = f"{options.revision} and the working tree; {machine()}"
    print_table(title, ("", "before", "now", "ratio (range)", "difference"), rows)


if __name__ == "__main__":
    main()
