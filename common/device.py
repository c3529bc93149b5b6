"""The device to train on, and how this process uses memory."""

import ctypes
import sys

import torch

from common.errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def select_device(name: str) -> torch.device:
    """`auto` is CUDA, else MPS, else the CPU. Raises `UserError` where the device that is asked for is not there."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if available[device])
    if not available[name]:
        raise UserError(f"--device {name}: not available here; use --device cpu or auto")
    if name == "cpu":
        keep_freed_memory()
    return torch.device(name)


def keep_freed_memory() -> None:
    """Let the C library keep freed memory instead of handing it back to the system after every batch.

    A batch of rolls has tens of megabytes. By default each is mapped afresh, and touching new pages costs more than
    the arithmetic (benchmarks/batches.py shows both). Does nothing where the C library is not glibc.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def peak_memory_mb() -> float:
    """High-water mark of this process's resident memory in MiB; NaN where the system does not tell."""
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
