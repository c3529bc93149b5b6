"""Choose the device to compute on, and set up this process for it."""

import ctypes
import os
import sys
import timeit

import torch

from common.errors import UserError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def select_device(name: str) -> torch.device:
    """Return the named device; `auto` is CUDA, else MPS, else the CPU. Raises `UserError` where it is unavailable."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, usable in available.items() if usable)
    if not available[name]:
        raise UserError(f"device {name}: not available here; use cpu or auto")
    # One GPU for each process of torchrun.
    number = int(os.environ.get("LOCAL_RANK", 0))
    if name == "cuda" and number >= (count := torch.cuda.device_count()):
        raise UserError(f"process {number} of this machine has no GPU; start {count} with --nproc-per-node")
    return torch.device(name, number) if name == "cuda" else torch.device(name)


def prepare_process(device: torch.device, *, threads: int = 0, tf32: bool = False, keep_memory: bool = True) -> str:
    """Set up this process to compute on `device`; returns a line that describes the setup.

    `threads` is the number of CPU threads; 0 leaves it to torch. `tf32` allows TF32 matrix products and convolutions
    on a GPU. cuDNN chooses algorithms without benchmarking. `keep_memory`: on a CPU, `keep_freed_memory` applies, which
    suits batches of one size.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = False
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, TF32 {'on' if tf32 else 'off'}, cuDNN without benchmark"
    if device.type == "cpu" and keep_memory:
        keep_freed_memory()
    return f"{device.type}, {torch.get_num_threads()} threads"


def upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor of the host to `device` without a wait for it; one that is there is returned."""
    if tensor.device.type == device.type:
        return tensor
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # only copies from pinned memory are asynchronous
    return tensor.to(device, non_blocking=device.type != "mps")


def bfloat16_is_slow(device: torch.device) -> bool:
    """Whether a CPU takes longer for a matrix product in bfloat16 than in float32, as it does without instructions."""
    if device.type != "cpu":
        return False
    factors = [torch.ones(256, 256, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    full, half = (min(timeit.repeat(lambda factor=each: factor @ factor, number=1, repeat=3)) for each in factors)
    return half > full


def keep_freed_memory() -> None:
    """Make glibc keep freed memory instead of returning it to the system; without glibc, do nothing.

    A batch of rolls has tens of megabytes. By default each batch is mapped afresh, and touching new pages costs more
    than the arithmetic (benchmarks/batches.py measures both).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def peak_memory_mb(device: torch.device) -> dict[str, float]:
    """Peak resident memory of this process (NaN on Windows) and, on a GPU, peak memory of its tensors, in MiB."""
    try:
        from resource import RUSAGE_SELF, getrusage

        host = getrusage(RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    except ImportError:
        host = float("nan")
    marks = {"peak_memory_mb": round(host, 1)}
    if device.type == "cuda":
        marks["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return marks
