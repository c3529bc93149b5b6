"""Options: ranges are checked where the object is made; presets, help, errors."""

import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.errors import UserError
from common.options import CheckedOptions, as_plain, command_line, option, parse_options


@dataclass(frozen=True)
class Shared(CheckedOptions):
    """Processor.

    Not part of the title.
    """

    threads: int = option(0, "threads", minimum=0, maximum=8)


@dataclass(frozen=True)
class More(CheckedOptions):
    """Kind of example."""

    kind: str = option("a", "kind", choices=("a", "b"))


@dataclass(frozen=True)
class Example(Shared, More):
    """Options of the example, 100 %."""

    kind: str = option("b", "kind, with another default than its base has", choices=("a", "b"))
    epochs: int = option(3, "epochs", minimum=1)
    rate: float = option(0.5, "rate", above=0)
    lengths: tuple[int, ...] = option((1, 2), "lengths", minimum=1)
    limit: int | None = option(None, "limit", minimum=1)
    folder: Path = option(Path("x"), "100 % of a folder")
    betas: tuple[float, float] = option((0.5, 0.9), "betas")
    fast: bool = option(True, "fast")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": -3}, "--epochs must be at least 1, but is -3"),
        ({"rate": 0.0}, "--rate must be above 0, but is 0"),
        ({"rate": math.nan}, "--rate must be a finite number, but is nan"),
        ({"lengths": (4, 0)}, "--lengths must be at least 1, but is 0"),
        ({"limit": 0}, "--limit must be at least 1, but is 0"),
        ({"kind": "c"}, "--kind must be one of a, b, but is c"),
        ({"threads": 100_000}, "--threads must be at most 8, but is 100000"),
    ],
)
def test_a_value_out_of_range_is_refused_where_the_object_is_made(changes: dict, message: str) -> None:
    with pytest.raises(UserError) as caught:
        Example(**changes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "many"], "argument --epochs: invalid int value: 'many'"),
        (["--kind", "c"], "argument --kind: invalid choice: 'c' (choose from"),
        (["--lengths", "1,x"], "argument --lengths: '1,x' is not a list of whole numbers with commas"),
        (["--learning-speed", "1"], "unrecognized arguments: --learning-speed 1"),
    ],
)
def test_an_unreadable_option_ends_the_program_with_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        parse_options(Example, "", words)
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and error.endswith("(--help lists the options)\n")


def test_the_command_line_wins_over_the_preset_and_that_over_the_default() -> None:
    presets = {"plain": {}, "short": {"epochs": 1, "rate": 0.25}}
    words = ["--preset", "short", "--rate", "2", "--lengths", "5,6", "--betas", "0", "0.5", "--no-fast"]
    parsed = parse_options(Example, "", words, presets)
    assert parsed == Example(epochs=1, rate=2.0, lengths=(5, 6), betas=(0.0, 0.5), fast=False)


def help_of(capsys: pytest.CaptureFixture[str], presets: dict[str, dict] | None = None) -> str:
    with pytest.raises(SystemExit) as ended:
        parse_options(Example, "The example.", ["--help"], presets)
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_groups_options_by_the_class_that_declares_them(capsys: pytest.CaptureFixture[str]) -> None:
    _, own, shared, more = re.split(r"^(?=Options of|Processor|Kind)", help_of(capsys), flags=re.MULTILINE)
    titles = [group.splitlines()[0] for group in (own, shared, more)]
    assert titles == ["Options of the example, 100 %:", "Processor:", "Kind of example:"]
    assert set(re.findall(r"^  (--[a-z]+)", own, re.MULTILINE)) == {
        "--epochs", "--rate", "--lengths", "--limit", "--folder", "--betas", "--fast"
    }  # fmt: skip
    assert "--threads N" in shared and "--kind {a,b}" in more and "(default: b)" in more


def test_help_lists_what_each_preset_changes(capsys: pytest.CaptureFixture[str]) -> None:
    large = {"lengths": (3, 4), "betas": (0.0, 0.5), "fast": False, "rate": 0.25}
    presets = {"plain": {}, "large": large, "larger": {**large, "rate": 0.5, "epochs": 9}, "short": {"epochs": 1}}
    _, listed = help_of(capsys, presets).split("presets:\n")
    assert [" ".join(line.split()) for line in listed.splitlines()] == [
        "plain the defaults",
        "large --lengths 3,4 --betas 0.0 0.5 --no-fast --rate 0.25",
        "larger as large, with --rate 0.5 --epochs 9",
        "short --epochs 1",
    ]


def test_a_dry_run_prints_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options(Example, "", ["--dry-run", "--limit", "4"])
    assert ended.value.code == 0
    assert '"limit": 4' in capsys.readouterr().out
    assert as_plain(Example())["folder"] == "x"


def test_a_command_line_gives_the_options_again() -> None:
    options = Example(lengths=(3, 4), betas=(0.0, 0.5), fast=False, limit=4, folder=Path("a b"))
    program, *words = shlex.split(command_line("-m example", options))[1:]
    assert program == "-m" and parse_options(Example, "", words[1:]) == options
    assert command_line("example.py", options, ("limit", "rate")) == "python example.py --limit 4"
