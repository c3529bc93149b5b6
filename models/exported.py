"""Models in folders that export.py writes: config.json and model.safetensors, read with torch alone."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .base import Model
from .checkpoint import rebuild
from .errors import CheckpointError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_TYPES = {"F32": torch.float32, "F16": torch.float16}


def read_exported(folder: Path) -> Model:
    """The model of a folder, in eval mode on the CPU, with `genres` and `condition`.

    Raises `CheckpointError` where a file is missing or damaged.
    """
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        model = rebuild({**config["model"], "weights": _read_safetensors((folder / WEIGHTS).read_bytes())})
        model.genres, model.condition = list(config["genres"]), config["training"]["condition"]
        if len(model.genres) != model.config["n_genres"]:
            raise ValueError(f"{len(model.genres)} names of {model.config['n_genres']} genres")
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{folder}: damaged or of another version ({reason}); export it again") from error
    return model


def _read_safetensors(content: bytes) -> dict[str, Tensor]:
    """Tensors by name: eight bytes with the length of the header, the header in JSON, and the numbers.

    https://github.com/huggingface/safetensors describes the format.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header, numbers = json.loads(content[8:start]), bytearray(content[start:])
    header.pop("__metadata__", None)
    return {
        name: torch.frombuffer(
            numbers, dtype=_TYPES[entry["dtype"]], count=math.prod(entry["shape"]), offset=entry["data_offsets"][0]
        ).view(entry["shape"])
        for name, entry in header.items()
    }
