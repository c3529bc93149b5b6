"""Content of weights files: plain data from a model and back, with torch only."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .base import Model
from .errors import CheckpointError
from .networks import NETWORKS

FORMAT_VERSION = 2


def describe(model: Model) -> dict[str, Any]:
    """All that `rebuild` needs, as plain data: kind, network, arguments of the constructor, weights on the CPU."""
    weights = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    return {"kind": model.kind, "network": model.network, "config": model.config, "weights": weights}


def rebuild(description: Mapping[str, Any]) -> Model:
    """The model of a `description` by `describe`, in eval mode on the CPU.

    Raises ValueError for an unknown network or weights that are not finite; KeyError, TypeError or RuntimeError where
    the description is incomplete or its parts do not fit together.
    """
    name, weights = (description["kind"], description["network"]), description["weights"]
    if name not in NETWORKS:
        known = ", ".join(" ".join(pair) for pair in NETWORKS)
        raise ValueError(f"unknown network {' '.join(map(str, name))}; known are {known}")
    model = NETWORKS[name](**description["config"])
    model.load_state_dict(weights, strict=True)
    for tensor_name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise ValueError(f"its weights are not finite ({tensor_name}): training went wrong, train it again")
    return model.eval()


def weights_content(model: Model, facts: dict[str, Any]) -> dict[str, Any]:
    """Content of a weights file: the description of the model and `facts` about its training, plain data."""
    return {"format_version": FORMAT_VERSION, **describe(model), "facts": facts}


def read_checkpoint(path: Path, remedy: str = "train it, or name another file") -> dict[str, Any]:
    """The plain content of a weights or state file. Code in pickles is not run.

    Raises `CheckpointError` with `remedy` if the file is missing, damaged (checksums of the archive) or of another
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
