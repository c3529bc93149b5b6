"""Trained weights as files that other programs read: a folder for each model.

    python export.py --checkpoints released/large --output exported
    python export.py --checkpoint released/large/hybrid_G_best_T128.pth --half

Writes exported/hybrid_G_best_T128/ with model.safetensors (the weights by name), config.json (what rebuilds the
network: kind, network, arguments of its class in models/; genre names and the facts of its training) and README.md;
of a generator also model.onnx, which takes z, float32 (batch, size of z), and genre, int64 (batch,), and gives the
probabilities of cells, float32 (batch, 128, T).
"""

import contextlib
import io
import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

from common.errors import UserError, run_command
from common.files import write_bytes, write_text
from common.options import CheckedOptions, option, parse_options
from models import Generator, describe
from models.checkpoint import CheckpointError
from models.trained import Trained, load

KINDS = ("cvae", "generator", "critic")
ONNX = """\
- `model.onnx`: z, float32 (batch, {noise}), and genre, int64 (batch,), to the probabilities of cells, float32
  (batch, 128, {seq_len}), in single precision; `onnxruntime` and others run it
"""
CARD = """\
# {name}

A {kind} (network "{network}") of genre-conditioned piano-roll generation, for windows of {seq_len} frames at
{frames_per_second} frames a second; {parameters:,} parameters. {condition}: {genres}.

- `model.safetensors`: the weights, {dtype}, by the names of the module's parameters
- `config.json`: the arguments of the module, and how it was trained
{onnx}
Trained on {n_songs:,} songs with labels as {labels}, epoch {epoch}, chosen by {chosen_by}. To use it:

```python
import json, torch
from safetensors.torch import load_file
from models import rebuild  # of the repository that trained it
config = json.load(open("config.json"))
model = rebuild({{**config["model"], "weights": load_file("model.safetensors")}})
```

Validation metrics of that epoch: {metrics}.
"""


@dataclass(frozen=True)
class Options(CheckedOptions):
    """What to export, and where to."""

    checkpoints: Path = option(Path("checkpoints"), "folder of weights; all of the best are exported")
    checkpoint: Path | None = option(None, "a single file of weights instead")
    output: Path = option(Path("exported"), "folder for the folders")
    half: bool = option(False, "write the weights in half precision")


def export(options: Options) -> list[Path]:
    """Write a folder for each file of weights; returns the folders. Raises `UserError` or `CheckpointError`."""
    paths = [options.checkpoint] if options.checkpoint else sorted(options.checkpoints.glob("*best*.pth"))
    if not paths:
        raise UserError(f"{options.checkpoints}: no weights there; train some, or name another folder")
    return [_export(path, options) for path in paths]


def _export(path: Path, options: Options) -> Path:
    trained = load(path, KINDS, "name weights that training wrote")
    folder = options.output / path.stem
    description = describe(trained.model)
    dtype = torch.float16 if options.half else torch.float32
    weights = {name: tensor.to(dtype).contiguous() for name, tensor in description.pop("weights").items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "model.safetensors", save(weights, {"format": "pt"}))
    facts = {name: fact for name, fact in trained.facts.items() if name != "training_songs"}
    config = {"model": description, "genres": trained.genres, "sha256": trained.sha256, "training": facts}
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
    write_text(folder / "README.md", _card(trained, dtype))
    if trained.model.kind == Generator.kind:
        write_bytes(folder / "model.onnx", _onnx(trained))
    print(f"{folder}: {path.name}, {sum(map(torch.numel, weights.values())):,} numbers")
    return folder


def _onnx(trained: Trained) -> bytes:
    """A generator, z and genre to probabilities, as an ONNX graph for batches of any size."""
    example = torch.zeros(2, trained.model.noise_size(trained.seq_len)), torch.zeros(2, dtype=torch.int64)
    of_batch, file = {0: torch.export.Dim("batch")}, io.BytesIO()
    # The exporter speaks of packages that it does without.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            trained.model, example, input_names=["z", "genre"], output_names=["probabilities"], dynamo=True,
            dynamic_shapes=(of_batch, of_batch), verbose=False,
        )  # fmt: skip
        program.save(file)
    return file.getvalue()


def _card(trained: Trained, dtype: torch.dtype) -> str:
    facts, model = trained.facts, trained.model
    onnx = ""
    if model.kind == Generator.kind:
        onnx = ONNX.format(noise=model.noise_size(trained.seq_len), seq_len=trained.seq_len)
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in facts["metrics"].items())
    return CARD.format(
        name=trained.path.stem,
        kind=model.kind,
        network=model.network,
        onnx=onnx,
        seq_len=trained.seq_len,
        frames_per_second=trained.frames_per_second,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        condition=trained.condition.capitalize(),
        genres=", ".join(trained.genres),
        dtype=str(dtype).removeprefix("torch."),
        n_songs=len(trained.training_songs),
        labels=trained.labels,
        epoch=facts["epoch"],
        chosen_by=facts["chosen_by"],
        metrics=metrics,
    )


if __name__ == "__main__":
    run_command(lambda: export(parse_options(Options, __doc__)), CheckpointError)
