"""Predict the peak device memory of every stage and preset, without a GPU.

    python -m benchmarks.device_memory --store demo/store --measures demo/measures/bach
    python -m benchmarks.device_memory --store demo/store --only large-3-128 --batch-size 256
    python -m benchmarks.device_memory --store demo/store --only large-1-32 --check

Two steps of a stage run on the meta device, where tensors have sizes but no values. The storages that are alive at a
time are summed, each rounded up to 512 bytes as by CUDA's allocator. Alive between steps are weights, optimizer state,
averages, gradients, the store and the places of its windows. Not counted: the CUDA context, work spaces of libraries,
and fragmentation. `--check` takes the second step on the CPU as well, in the same way and by the reports of torch's
allocator, which know the temporary tensors within an operation. Where there is a GPU, two steps are measured on it.
"""

import gc
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.meta_stages import META, meta_step, to_meta
from benchmarks.stage_cases import CaseOptions, built_case, title
from benchmarks.timing import print_table
from benchmarks.training_steps import position_of
from common.errors import run_command
from common.options import option, parse_options
from training.stage import Stage

NOT_MEASURED = "not measured"
HEADING = ("", "examples a step", "MB between steps", "at the peak, predicted", "at the peak, measured on a GPU")
_BLOCK = 512  # bytes


@dataclass(frozen=True)
class Options(CaseOptions):
    """What to predict."""

    check: bool = option(False, "compare a step's memory on the CPU with what torch's allocator reports")


class LiveMemory(TorchDispatchMode):
    """Bytes of the storages on a device that were made within and are alive, and the most of them at a time."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device, self.live, self.peak, self._known = device, 0, 0, set()

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        result = operation(*arguments, **(options or {}))
        given = {storage._cdata for storage in self._storages((arguments, options))}
        for storage in self._storages(result):
            if storage._cdata not in given:
                self._add(storage)
        return result

    def _storages(self, values: Any) -> list[torch.UntypedStorage]:
        tensors = [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
        return [tensor.untyped_storage() for tensor in tensors if tensor.device == self.device]

    def _add(self, storage: torch.UntypedStorage) -> None:
        if (place := storage._cdata) in self._known:
            return
        size = -(-storage.nbytes() // _BLOCK) * _BLOCK
        self._known.add(place)
        self.live += size
        self.peak = max(self.peak, self.live)
        finalize(storage, self._remove, place, size).atexit = False

    def _remove(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.live -= size


class FusedAttention(TorchFunctionMode):
    """Attention as CUDA computes it in float32, without a matrix of all pairs; the meta device would make one."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        if function is not F.scaled_dot_product_attention:
            return function(*arguments, **(options or {}))
        causal = (options or {}).get("is_causal", False)
        attend = torch.ops.aten._scaled_dot_product_efficient_attention
        return attend(*arguments[:3], None, torch.is_grad_enabled(), is_causal=causal)[0]


def predicted(stage: Stage) -> tuple[int, int]:
    """Bytes between steps and at the peak, of a stage that is built on the CPU; it is on the meta device afterwards."""
    with LiveMemory(META) as memory, FusedAttention():
        to_meta(stage)
        for _ in range(2):
            meta_step(stage, position_of(stage, 0))
    return memory.live, memory.peak


def on_cpu(stage: Stage) -> tuple[int, int]:
    """By how much the memory of a built stage rises within a second step on the CPU: as predicted, as reported."""
    stage.start()
    position = position_of(stage, 0)
    stage.train_step(position)
    with LiveMemory(torch.device("cpu")) as memory:
        stage.train_step(position)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        stage.train_step(position)
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = torch.tensor([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]).cumsum(0)
    return memory.peak, int(live.max())


def reset_gpu_peak() -> None:
    """Count from the tensors in use, without those of earlier stages, which have references to themselves."""
    gc.collect()
    torch.cuda.reset_peak_memory_stats()


def gpu_peak() -> str:
    """Megabytes of this process's tensors on its GPU: the most at a time since `reset_gpu_peak`."""
    return f"{torch.cuda.max_memory_allocated() / 1e6:,.0f}" if torch.cuda.is_available() else NOT_MEASURED


def on_gpu(name: str, options: Options, folder: Path) -> str:
    """Megabytes at the peak of two steps of a case on a GPU, if there is one."""
    if torch.cuda.is_available():
        reset_gpu_peak()
        stage = built_case(name, options, folder, "cuda")
        stage.start()
        for _ in range(2):
            stage.train_step(position_of(stage, 0))
    return gpu_peak()


def device_memory(options: Options) -> None:
    """Print the table. Raises `UserError` where the data are missing."""
    rows, checks = [], []
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            if options.check:
                pair = on_cpu(built_case(name, options, Path(folder)))
                checks.append([title(name), *(f"{each / 1e6:,.1f}" for each in pair), f"{pair[0] / pair[1] - 1:+.1%}"])
            measured = on_gpu(name, options, Path(folder))
            sizes = predicted(stage := built_case(name, options, Path(folder)))
        examples = min(stage.options.batch_size, stage.n_examples)
        rows.append([title(name), examples, *(f"{each / 1e6:,.0f}" for each in sizes), measured])
        print(*rows[-1], sep=" | ", file=sys.stderr)
    print_table("Device memory", HEADING, rows)
    if checks:
        print_table("A step on the CPU, MB", ("", "predicted", "reported by the allocator", "error"), checks)


if __name__ == "__main__":
    run_command(lambda: device_memory(parse_options(Options, __doc__)))
