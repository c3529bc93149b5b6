"""Weights on disk. The one place where a model meets a file: torch.hub has to read weights with torch alone."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

FORMAT_VERSION = 1


class CheckpointError(ValueError):
    """A weights file that is missing or cannot be used; the message names the file and the remedy."""


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """`torch.save` of plain data: `path` holds the old content or all of the new, whenever the process is stopped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def save_weights(model: nn.Module, path: Path, **facts: Any) -> None:
    """Write what rebuilds `model`, with `facts` (plain data: genre names, frame rate, options, progress) beside it."""
    weights = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    content = {"format_version": FORMAT_VERSION, "kind": model.kind, "config": model.config, "weights": weights}
    save_atomically({**content, **facts}, path)


def read_checkpoint(path: Path, remedy: str = "train it, or name another file") -> dict[str, Any]:
    """The plain content of a weights or state file; nothing is unpickled. Raises `CheckpointError`."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; {remedy}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{path}: not a readable checkpoint ({type(error).__name__}); {remedy}") from error
    if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(f"{path}: not a checkpoint of format {FORMAT_VERSION}; {remedy}")
    return content
