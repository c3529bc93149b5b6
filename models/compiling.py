"""Compilation of the parts of a training step by torch.compile, where a training asks for it.

The parts are functions of tensors with few different shapes. Recurrences are none of them: they would be unrolled,
which takes minutes to compile, and libraries of GPUs have kernels for them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

_Arguments, _Result = ParamSpec("_Arguments"), TypeVar("_Result")
BACKEND: str | Callable[..., Any] = "inductor"
_MOST_SHAPES = 256  # of a part; torch's limit of 8 is less than the lengths of note lists
_mode: str | None = None  # of torch.compile; None: nothing is compiled


def compilable(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """A part of a training step: within `compiled` it is compiled at its first call."""
    versions: dict[tuple[Any, str], Callable[_Arguments, _Result]] = {}

    @wraps(function)
    def run(*values: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
        if torch.compiler.is_compiling() or _mode is None:
            return function(*values, **named)
        key = BACKEND, _mode
        if key not in versions:
            versions[key] = torch.compile(function, fullgraph=True, dynamic=False, backend=BACKEND, mode=_mode)
        return versions[key](*values, **named)

    return run


@contextmanager
def compiled(device: torch.device) -> Iterator[None]:
    """A training step, of which the parts are compiled; on CUDA their kernels are started as CUDA graphs."""
    global _mode
    from torch import _dynamo  # takes a second to import

    _dynamo.config.recompile_limit = _dynamo.config.accumulated_recompile_limit = _MOST_SHAPES
    if device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()
    _mode = "reduce-overhead" if device.type == "cuda" else "default"
    try:
        yield
    finally:
        _mode = None


def missing_compiler(device: torch.device) -> str | None:
    """What `compiled` needs on `device` and this machine lacks, or None."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler
    from torch.utils._triton import has_triton

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "a C++ compiler (g++, or that of the variable CXX)"
    return "Triton" if device.type == "cuda" and not has_triton() else None
