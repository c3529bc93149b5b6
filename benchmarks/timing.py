"""The common frame of the benchmarks: options, times, the machine, tables."""

import os
import platform
import statistics
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch


def parse_arguments(description: str, **options: tuple[Any, ...]) -> Namespace:
    """Parse the command line; each option is (default, help) or (default, help, choices). False makes a flag."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    for name, (default, text, *choices) in options.items():
        if default is False:
            typed: dict[str, Any] = {"action": "store_true"}
        else:
            typed = {"type": Path if default is None else type(default), "choices": choices[0] if choices else None}
        shown = f"{text} (default: {default})" if default else text
        parser.add_argument("--" + name.replace("_", "-"), default=default, help=shown, **typed)
    return parser.parse_args()


def seconds(function: Callable[[], object], repeats: int = 7, warm_up: int = 2) -> float:
    """Return the median time of a call, because machines are noisy."""
    for _ in range(warm_up):
        function()
    return statistics.median(timed(function)[0] for _ in range(repeats))


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of one call, and its result."""
    started = time.perf_counter()
    result = function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started, result


def rate(items: Iterable[object]) -> float:
    """Return the items per second of an iterable."""
    taken, count = timed(lambda: sum(1 for _ in items))
    return count / taken


def machine() -> str:
    """Describe processor, cores, GPU if there is one, and torch."""
    name, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {os.cpu_count()} cores{gpu}, torch {torch.__version__}"


def speeds(name: str, baseline: float, ours: float, items: int = 0) -> list[str]:
    """Return a row from the seconds of the baseline and ours: items per second (or milliseconds), and the ratio."""
    values = [items / taken if items else 1e3 * taken for taken in (baseline, ours)]
    return [name, *(f"{v:,.0f}" if v >= 100 else f"{v:.3g}" for v in values), f"{baseline / ours:.1f}"]


def print_table(title: str, heading: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print(f"\n{title}\n")
    print("| " + " | ".join(heading) + " |")
    print("|" + " --- |" * len(heading))
    for row in rows:
        print("| " + " | ".join(f"{cell:,.0f}" if isinstance(cell, float) else str(cell) for cell in row) + " |")
