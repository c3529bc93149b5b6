"""A trained model, and what its checkpoint says about the data it was made for."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from models import rebuild
from models.checkpoint import CheckpointError, read_checkpoint


@dataclass(frozen=True)
class Trained:
    """`genres`: names, the position is the genre id. `seq_len`: frames of the windows it was trained on."""

    path: Path
    model: nn.Module
    genres: list[str]
    frames_per_second: int
    seq_len: int


def load_trained(path: Path, kind: str, remedy: str) -> Trained:
    """The model in the weights file `path`, in eval mode on the CPU.

    Raises `CheckpointError` with `remedy` where the file is missing, holds no model of `kind` ("cvae", "generator",
    "critic"), or does not fit its own description.
    """
    content = read_checkpoint(path, remedy)
    if content.get("kind") != kind:
        raise CheckpointError(f"{path}: holds {content.get('kind') or 'no weights'}, not a {kind}; {remedy}")
    try:
        facts = content["genres"], content["frames_per_second"], content["seq_len"]
        return Trained(path, rebuild(content), *facts)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: damaged or of another version ({reason}); {remedy}") from error
