"""The trained weights of musicnn: from the checkpoint in the PyPI package `musicnn`, whose code is never imported.

The package (ISC licence) pins versions of NumPy and TensorFlow that no longer install, hence `--no-deps`. Its
checkpoint is read once and kept as safetensors.
"""

import ast
import contextlib
import hashlib
import importlib.util
import os
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from audio.embedders.tensorflow_checkpoint import DamagedCheckpoint, read_variables
from common.errors import UserError
from common.files import write_bytes

INSTALL = "pip install --no-deps musicnn==0.1.0"
LAYOUT = 1  # of the converted file; change it with the names in LAYERS

# Layers of `musicnn.Musicnn` and their names in the checkpoint, which numbers them in the order of their making.
CONVOLUTIONS = [f"front.{index}" for index in range(5)] + [f"middle.{index}" for index in range(3)]
LAYERS = {
    "input_norm": "batch_normalization",
    **{f"{layer}.conv": f"conv2d_{number}" if number else "conv2d" for number, layer in enumerate(CONVOLUTIONS)},
    **{f"{layer}.norm": f"batch_normalization_{number}" for number, layer in enumerate(CONVOLUTIONS, start=1)},
    "pool_norm": "batch_normalization_9",
    "hidden": "dense",
    "hidden_norm": "batch_normalization_10",
    "tags": "dense_1",
}
NORM_VALUES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
LAYER_VALUES = {"weight": "kernel", "bias": "bias"}


def read_weights(name: str, cache_dir: Path | None = None) -> tuple[dict[str, Tensor], str]:
    """The state of a `musicnn.Musicnn`, and 12 hexadecimal digits that change with the checkpoint.

    `name`: "MTT_musicnn" or "MSD_musicnn". The converted weights are kept in `cache_dir`, by default in the user's
    cache folder. Raises `UserError` where the package is not installed or its checkpoint is damaged.
    """
    folder = _package() / name
    index, data = folder / ".index", folder / ".data-00000-of-00001"
    again = f"install it again with {INSTALL} --force-reinstall"
    if not (index.exists() and data.exists()):
        raise UserError(f"{folder}: has no checkpoint; {again}")
    digest = hashlib.sha256(index.read_bytes() + data.read_bytes()).hexdigest()[:12]
    cached = (cache_dir or user_cache_dir()) / f"{name}-{digest}-layout{LAYOUT}.safetensors"
    with contextlib.suppress(SafetensorError, OSError):  # not there, damaged or not readable: it is made again
        return load_file(cached), digest
    try:
        weights = _convert(index, data)
    except DamagedCheckpoint as error:
        raise UserError(f"{error}; {again}") from error
    with contextlib.suppress(OSError):  # a folder that cannot be written costs a second at the next start
        write_bytes(cached, save(weights))
    return weights, digest


def read_tag_names(name: str) -> list[str]:
    """The 50 tags of "MTT_musicnn" or "MSD_musicnn", in the order of the network's outputs. Raises `UserError`."""
    wanted = name.replace("musicnn", "LABELS")
    source = (_package() / "configuration.py").read_text(encoding="utf-8")
    assignments = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return next(ast.literal_eval(node.value) for node in assignments if node.targets[0].id == wanted)


def user_cache_dir() -> Path:
    """Where converted weights are kept: below $XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genre-piano-rolls"


def _package() -> Path:
    found = importlib.util.find_spec("musicnn")  # finds, does not import
    if found is None or not found.submodule_search_locations:
        raise UserError(f"the weights of musicnn are not installed; get them with {INSTALL}")
    return Path(found.submodule_search_locations[0])


def _convert(index: Path, data: Path) -> dict[str, Tensor]:
    sources = {}
    for layer, variable in LAYERS.items():
        values = NORM_VALUES if layer.endswith("norm") else LAYER_VALUES
        sources |= {f"{layer}.{ours}": f"{variable}/{theirs}" for ours, theirs in values.items()}
    variables = read_variables(index, data, sources.values())
    state = {ours: _as_torch(ours, variables[theirs]) for ours, theirs in sources.items()}
    norms = [layer for layer in LAYERS if layer.endswith("norm")]
    return state | {f"{layer}.num_batches_tracked": torch.tensor(0) for layer in norms}


def _as_torch(layer: str, value: np.ndarray) -> Tensor:
    """TensorFlow keeps matrices as (in, out) and kernels as (time, frequency, 1, out)."""
    if value.ndim == 2:
        value = value.T
    elif value.ndim == 4:
        value = value.transpose(3, 2, 0, 1)
        if layer.startswith("middle"):  # a convolution over time, with the channels where frequency was
            value = value[:, 0].transpose(0, 2, 1)
    return torch.from_numpy(value.copy())

