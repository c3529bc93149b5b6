"""Reading weights from disk, with torch alone, because torch.hub has nothing else."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from .base import Model
from .registry import describe

FORMAT_VERSION = 2


class CheckpointError(ValueError):
    """A weights file that is missing or cannot be used; the message names the file and the remedy."""


def weights_content(model: Model, facts: dict[str, Any]) -> dict[str, Any]:
    """What a weights file holds: what rebuilds the model, and `facts` of its making, plain data."""
    return {"format_version": FORMAT_VERSION, **describe(model), "facts": facts}


def read_checkpoint(path: Path, remedy: str = "train it, or name another file") -> dict[str, Any]:
    """The plain content of a weights or state file; nothing is unpickled.

    Raises `CheckpointError` where it is not there, damaged (every part of the archive has a checksum), or of another
    format.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; {remedy}")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        content = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{path}: not a readable checkpoint ({type(error).__name__}); {remedy}") from error
    if damaged:
        raise CheckpointError(f"{path}: damaged ({damaged} has another checksum); {remedy}")
    if not isinstance(content, dict) or "format_version" not in content:
        raise CheckpointError(f"{path}: not a checkpoint of this program; {remedy}")
    if content["format_version"] != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: a checkpoint of format {content['format_version']}, but this code reads format {FORMAT_VERSION}; "
            f"{remedy}"
        )
    return content
