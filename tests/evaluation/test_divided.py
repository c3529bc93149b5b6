"""Generation and evaluations by several processes of torchrun: results and output are those of one."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny_stores import make_store
from torchrun import launched
from weights import save_rolls

import eval_fad_samples
import generate
from common.errors import UserError
from common.options import parse_options
from common.torchrun import divided, run_divided
from evaluation.options import FadOptions
from generation.options import Options as GenerateOptions
from models import LARGE, PAPER


def content_of(folder: Path) -> dict[str, bytes]:
    """The files below a folder, without the record of what was written when."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".written"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def alone(program: Callable, options: type, words: Sequence[object]) -> None:
    program(parse_options(options, "", [*map(str, words)]))


@pytest.mark.parametrize(
    ("n", "architecture", "exact"), [(2, LARGE, "--exact"), (2, LARGE, "--no-exact"), (3, PAPER, "--exact")]
)
def test_clips_are_those_of_one_process(
    n: int, architecture: str, exact: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Windows on their own (paper) and pieces of several windows (large); 5 clips in batches of 2."""
    save_rolls(tmp_path / "weights", architecture)
    words = ["--checkpoints", tmp_path / "weights", "--seq-len", 32, "--count", 5, "--windows", 2, "--batch-size", 2]
    words += ["--device", "cpu", exact, "--output"]
    alone(generate.generate, GenerateOptions, [*words, tmp_path / "alone"])
    together = launched(n, "generate.py", *words, tmp_path / "together")
    assert together.returncode == 0, together.stderr
    clips = content_of(tmp_path / "alone")
    assert clips == content_of(tmp_path / "together")
    assert len({content for name, content in clips.items() if name.endswith(".mid")}) > 5
    assert together.stdout == capsys.readouterr().out.replace(str(tmp_path / "alone"), str(tmp_path / "together"))


def test_tables_are_those_of_one_process(tmp_path: Path) -> None:
    """Each process renders and embeds its clips; the first writes tables, cache and clips."""
    store = make_store(tmp_path / "corpus")
    save_rolls(tmp_path / "weights", PAPER)
    words = ["--store", store, "--checkpoints", tmp_path / "weights", "--seq-len", 32, "--clips", 5]
    words += ["--embedders", "MTT_musicnn", "--synth", "tinysoundfont", "--batch-size", 2, "--device", "cpu"]
    words += ["--generation-seeds", 1, "--floor-seeds", 2]
    places = [
        ["--metrics", place / "metrics", "--cache", place / "cache", "--save-clips", place / "clips"]
        for place in (tmp_path / "alone", tmp_path / "together")
    ]
    alone(eval_fad_samples.eval_fad_samples, FadOptions, [*words, *places[0]])
    done = launched(2, "eval_fad_samples.py", *words, *places[1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("FAD∞: extrapolated") == 1
    first, second = content_of(tmp_path / "alone"), content_of(tmp_path / "together")
    assert first.keys() == second.keys() and "metrics/fad_results.csv" in first
    assert len([name for name in first if name.endswith(".npy")]) > 20
    assert [name for name in first if first[name] != second[name]] == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("generate.py --count x", "argument --count: invalid int value: 'x'"),
        ("generate.py --checkpoints nowhere", "nowhere"),
        ("eval_mse.py --store nowhere", "nowhere: no roll store there"),
    ],
)
def test_an_error_of_the_program_is_one_line(command: str, message: str) -> None:
    done = launched(2, *command.split())
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and len(lines) == 1 and message in lines[0], done.stderr


def square(numbers: Sequence[int], failing: int = -1, kind: type[Exception] = UserError) -> Iterator[int]:
    for number in numbers:
        if number == failing:
            raise kind(f"failed at {number}")
        yield number**2


def program() -> None:
    """Print results, and the errors of the first and of another process."""
    print(*divided(square, list(range(7))), list(divided(square, [])), list(divided(square, [3])))
    for failing, kind in ((2, UserError), (5, ValueError)):
        try:
            list(divided(partial(square, failing=failing, kind=kind), list(range(7))))
        except Exception as error:
            print(type(error).__name__, str(error).splitlines()[0], "failed at" in str(error))
    print(*divided(square, [5, 6]))


@pytest.mark.parametrize("n", [2, 4])
def test_results_are_in_order_and_errors_reach_the_program(n: int) -> None:
    done = launched(n, "tests/evaluation/test_divided.py")
    assert done.returncode == 0, done.stderr
    process = 5 % n
    assert done.stdout.splitlines() == [
        "0 1 4 9 16 25 36 [] [9]", "UserError failed at 2 True",
        f"RuntimeError process {process}: Traceback (most recent call last): True", "25 36",
    ]  # fmt: skip


def test_one_process_gives_each_result_at_once() -> None:
    seen = []

    def watched(numbers: Sequence[int]) -> Iterator[int]:
        for number in numbers:
            seen.append(number)
            yield number

    results = divided(watched, [1, 2, 3])
    assert next(results) == 1 and seen == [1]
    called = []
    run_divided(lambda: called.append(torch.distributed.is_initialized()))
    assert called == [False]


if __name__ == "__main__":
    run_divided(program)
