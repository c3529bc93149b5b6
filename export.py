"""Export trained weights to files for other programs, one folder for each model.

    python export.py --checkpoints released/large --output exported
    python export.py --checkpoint released/large/hybrid_G_best_T128.pth --half

Writes exported/hybrid_G_best_T128/ with model.safetensors (the weights by name), config.json (kind, network and
arguments of its class in models/, genre names, facts of its training) and README.md, a model card for the Hugging Face
Hub. For a generator also model.onnx: its inputs are z, float32 (batch, size of z), genre, int64 (batch,), and, if the
network has noise beside z, uniform, float32 (batch, T, size) in [0, 1); its output is the probabilities of cells,
float32 (batch, 128, T). docs/hub.md describes how to load and to publish the folders.
"""

import contextlib
import io
import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError, run_command, signals_deferred, signals_repeated
from common.files import RECORD, check_outputs, temporary_folder, write_bytes
from common.options import CheckedOptions, option, parse_options
from models.errors import CheckpointError

if TYPE_CHECKING:
    from models.trained import Trained

KINDS = ("cvae", "generator", "critic")
ONNX = """\
- `model.onnx`: {inputs} to the probabilities of cells, float32
  (batch, 128, {seq_len}), in single precision, for `onnxruntime` and other runtimes{random}
"""
CARD = """\
---
license: {license}
library_name: pytorch
tags:
- music
- symbolic-music
- piano-roll
- {kind}
---

# {name}

A {kind} (network "{network}") of genre-conditioned piano-roll generation, for windows of {seq_len} frames at
{frames_per_second} frames a second; {parameters:,} parameters. {condition}: {genres}.

- `model.safetensors`: the weights, {dtype}, by the names of the module's parameters
- `config.json`: the arguments of the module and the facts of its training
{onnx}
Trained on {n_songs:,} songs (labels: {labels}), epoch {epoch}, chosen by {chosen_by}. To use it:

```python
import torch
# The repository that trained it; `folder`: a copy of this one, such as from huggingface_hub.snapshot_download.
model = torch.hub.load("path/to/this/repository", "exported", source="local", folder=".")
```

Validation metrics of that epoch: {metrics}.
"""


@dataclass(frozen=True)
class Options(CheckedOptions):
    """Weights to export, and the folder to write to."""

    checkpoints: Path = option(Path("checkpoints"), "folder of weights; exports all best weights in it")
    checkpoint: Path | None = option(None, "export this file of weights instead")
    output: Path = option(Path("exported"), "folder to write to, one subfolder for each model")
    half: bool = option(False, "write the weights in half precision")
    license: str = option("other", "licence of the weights on their card, a name of the Hub such as cc-by-nc-4.0")


def export(options: Options) -> list[Path]:
    """Write a folder for each weights file; returns the folders. Raises `UserError` or `CheckpointError`."""
    paths = [options.checkpoint] if options.checkpoint else sorted(options.checkpoints.glob("*best*.pth"))
    if not paths:
        raise UserError(f"{options.checkpoints}: no weights there; train some, or name another folder")
    return [_export(path, options) for path in paths]


def _export(path: Path, options: Options) -> Path:
    import torch
    from safetensors.torch import save

    from models import Generator, describe
    from models.exported import CONFIG, WEIGHTS
    from models.trained import load

    trained = load(path, KINDS, "name weights that training wrote")
    model, facts, folder = trained.model, trained.facts, options.output / path.stem
    # The whole folder is replaced: all of its files must be ours.
    check_outputs([folder, *(file for file in folder.rglob("*") if file.is_file() and file.name != RECORD)])
    description, dtype = describe(model), torch.float16 if options.half else torch.float32
    weights = {name: tensor.to(dtype).contiguous() for name, tensor in description.pop("weights").items()}
    training = {name: fact for name, fact in facts.items() if name != "training_songs"}
    # Weights from before they left folders out may name those of their machine.
    options_used = facts.get("options", {}).items()
    training["options"] = {name: value for name, value in options_used if not Path(str(value)).is_absolute()}
    config = {"model": description, "genres": trained.genres, "sha256": trained.sha256, "training": training}
    onnx, files = "", {}
    if model.kind == Generator.kind and model.config.get("outline"):  # as a graph, its loop over frames takes minutes
        print(f"{folder}: without model.onnx, because an outline is drawn frame by frame")
    elif model.kind == Generator.kind:
        files["model.onnx"], shapes = _onnx(trained)
        random = "; uniform is random, in [0, 1)" if "uniform" in shapes else ""
        onnx = ONNX.format(inputs=", ".join(map(" ".join, shapes.items())), seq_len=trained.seq_len, random=random)
    card = CARD.format(
        name=path.stem, license=options.license, kind=model.kind, network=model.network, onnx=onnx,
        seq_len=trained.seq_len, frames_per_second=trained.frames_per_second, condition=trained.condition.capitalize(),
        parameters=sum(parameter.numel() for parameter in model.parameters()), genres=", ".join(trained.genres),
        dtype=str(dtype).removeprefix("torch."), n_songs=len(trained.training_songs), labels=trained.facts["labels"],
        epoch=facts["epoch"], chosen_by=facts["chosen_by"],
        metrics=", ".join(f"{name} {value:.4g}" for name, value in facts["metrics"].items()),
    )  # fmt: skip
    files[WEIGHTS] = save(weights, {"format": "pt"})
    files |= {CONFIG: f"{json.dumps(config, indent=2)}\n".encode(), "README.md": card.encode()}
    with temporary_folder(folder) as private:
        for name, content in files.items():
            write_bytes(private / "new" / name, content)
        with signals_deferred():  # in between there is no folder
            if folder.exists():
                folder.rename(private / "old")
            (private / "new").rename(folder)
    print(f"{folder}: {path.name}, {sum(map(torch.numel, weights.values())):,} numbers")
    return folder


def _onnx(trained: "Trained") -> tuple[bytes, dict[str, str]]:
    """A generator as an ONNX graph for batches of any size, and dtype and shape of each input."""
    import torch

    model, of_batch, file = trained.model, {0: torch.export.Dim("batch")}, io.BytesIO()
    example = {"z": torch.zeros(2, model.noise_size(trained.seq_len)), "genre": torch.zeros(2, dtype=torch.int64)}
    if shape := model.chance_shape(trained.seq_len):
        example["uniform"] = torch.zeros(2, *shape)
    # The exporter warns about optional packages.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    # It calls back into Python, and swallows some errors there. It takes a quarter of a minute.
    with signals_repeated(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model, tuple(example.values()), input_names=[*example], output_names=["probabilities"], dynamo=True,
            dynamic_shapes=dict.fromkeys(example, of_batch), verbose=False,
        )  # fmt: skip
        program.save(file)
    shapes = {
        name: f"{str(each.dtype).removeprefix('torch.')} ({', '.join(map(str, ('batch', *each.shape[1:])))})"
        for name, each in example.items()
    }
    return file.getvalue(), shapes


if __name__ == "__main__":
    run_command(lambda: export(parse_options(Options, __doc__)), CheckpointError)
