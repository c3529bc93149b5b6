"""The device to compute on, and how this process uses it and its memory."""

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
        raise UserError(f"device {name}: not available here; use cpu or auto")
    return torch.device(name)


def prepare_process(device: torch.device, *, threads: int = 0, tf32: bool = False) -> str:
    """Set up this process to compute on `device`; returns a line that says how.

    `threads` of the CPU, 0 leaves the choice to torch. `tf32` lets a GPU round the factors of matrix products and
    convolutions to 10 bits. cuDNN takes the algorithms it knows best, without trying them first. On a CPU the C library
    is told to keep freed memory (`keep_freed_memory`).
    """
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = False
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, TF32 {'on' if tf32 else 'off'}, cuDNN without benchmark"
    if device.type == "cpu":
        keep_freed_memory()
    return f"{device.type}, {torch.get_num_threads()} threads"


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


def peak_memory_mb(device: torch.device) -> dict[str, float]:
    """High-water marks in MiB: of this process's resident memory, and of tensors on a GPU; NaN where none is told."""
    try:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        host = peak / (2**20 if sys.platform == "darwin" else 2**10)
    except ImportError:
        host = float("nan")
    marks = {"peak_memory_mb": round(host, 1)}
    if device.type == "cuda":
        marks["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return marks
