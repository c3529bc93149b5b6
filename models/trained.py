"""A trained model, and what its weights file says about the data it was made for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from . import rebuild
from .checkpoint import CheckpointError, read_checkpoint


@dataclass(frozen=True)
class Trained:
    """`genres`: names, the position is the genre id. `seq_len`: frames of the windows it was trained on.

    `labels`: "given", or "shuffled" where the songs had genres at random. `sha256` is that of the file, its first
    twelve hexadecimal digits.
    """

    path: Path
    model: nn.Module
    genres: list[str]
    frames_per_second: int
    seq_len: int
    labels: str
    sha256: str


def load_trained(
    path: Path, kind: str, remedy: str, genres: Sequence[str] | None = None, frames_per_second: int | None = None
) -> Trained:
    """The model in the weights file `path`, in eval mode on the CPU.

    Raises `CheckpointError` with `remedy` where the file is missing, holds no model of `kind` ("cvae", "generator",
    "critic"), does not fit its own description, or was trained on other genres than `genres` or at another frame rate.
    """
    content = read_checkpoint(path, remedy)
    if content.get("kind") != kind:
        raise CheckpointError(f"{path}: holds {content.get('kind') or 'no weights'}, not a {kind}; {remedy}")
    try:
        facts = content["genres"], content["frames_per_second"], content["seq_len"]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        trained = Trained(path, rebuild(content), *facts, content.get("labels", "given"), digest)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: damaged or of another version ({reason}); {remedy}") from error
    if genres is not None and trained.genres != list(genres):
        raise CheckpointError(
            f"{path}: trained on the genres {', '.join(trained.genres)}, but the store has {', '.join(genres)}; "
            f"name the store it was trained on with --store, or {remedy}"
        )
    if frames_per_second not in (None, trained.frames_per_second):
        raise CheckpointError(
            f"{path}: trained at {trained.frames_per_second} frames a second, but the store has {frames_per_second}; "
            f"name the store it was trained on with --store, or {remedy}"
        )
    return trained
