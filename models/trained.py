"""A trained model, and what its weights file says of how it was made."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from .base import Model
from .checkpoint import CheckpointError, read_checkpoint
from .registry import NETWORKS, rebuild
from .weight_files import hybrid_file


@dataclass(frozen=True)
class Trained:
    """`genres`: names, the position is the genre id; `condition` is what they are: genre, composer, mood, ...

    `seq_len`: frames of the windows it was trained on, or was loaded for. `labels`: "given", or "shuffled" where the
    songs had genres at random. `trained_on`: a short hash of the training songs, whose ids are `training_songs`, int64
    (n,), sorted. `sha256` is that of the file, its first twelve hexadecimal digits. `facts`: all that the file says of
    its making.
    """

    path: Path
    model: Model
    genres: list[str]
    condition: str
    frames_per_second: int
    seq_len: int
    labels: str
    trained_on: str
    training_songs: Tensor
    sha256: str
    facts: dict[str, Any]


def load_trained(path: Path, kind: str | tuple[str, ...], remedy: str, *, seq_len: int | None = None) -> Trained:
    """The model in the weights file `path`, in eval mode on the CPU.

    Raises `CheckpointError` with `remedy` where the file is missing or damaged, holds no model of `kind` ("cvae",
    "generator", "critic", or one of several), was trained at another T than `seq_len` and knows no other, or does not
    fit its own description.
    """
    content = read_checkpoint(path, remedy)
    kinds = (kind,) if isinstance(kind, str) else kind
    if content.get("kind") not in kinds:
        raise CheckpointError(
            f"{path}: holds {content.get('kind') or 'no weights'}, not a {' or a '.join(kinds)}; {remedy}"
        )
    try:
        facts = content["facts"]
        trained = Trained(
            path=path,
            model=rebuild(content),
            genres=list(facts["genres"]),
            condition=facts["condition"],
            frames_per_second=int(facts["frames_per_second"]),
            seq_len=int(facts["seq_len"]),
            labels=facts["labels"],
            trained_on=facts["trained_on"],
            training_songs=facts["training_songs"],
            sha256=hashlib.sha256(path.read_bytes()).hexdigest()[:12],
            facts=facts,
        )
        if len(trained.genres) != trained.model.config["n_genres"]:
            raise KeyError("names of its genres")
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; {remedy}") from error
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: damaged or of another version ({reason}); {remedy}") from error
    if seq_len in (None, trained.seq_len):
        return trained
    if not trained.model.any_length:
        raise CheckpointError(f"{path}: trained on windows of T = {trained.seq_len}, not {seq_len}; {remedy}")
    return replace(trained, seq_len=seq_len)


def hybrid_path(folder: Path, model: str, seq_len: int) -> Path:
    """Weights of stage 3 for windows of `seq_len` frames; `model` is "cvae", "G" or "D".

    Those of that T, there or not; but where they are not, those of a longer T, if their network knows windows of any.
    """
    own = folder / hybrid_file(model, seq_len)
    others = [] if own.exists() else sorted(folder.glob(hybrid_file(model, "*")))
    return next((path for path in others if _knows(path, seq_len)), own)


def _knows(path: Path, shorter: int) -> bool:
    """Whether the weights are of a longer T than `shorter`, and of a network that knows windows of any length."""
    content = read_checkpoint(path, "remove it")
    network = NETWORKS.get((content.get("kind"), content.get("network")))
    return network is not None and network.any_length and content["facts"]["seq_len"] > shorter


class LabelledMusic(Protocol):
    """What weights have to agree with: a roll store, seen from here."""

    folder: Path
    genres: list[str]
    condition: str
    frames_per_second: int

    def song_ids(self, split: str) -> Any:
        """Ids of the songs of a split, int64 (n,)."""


def load_for(
    store: LabelledMusic,
    path: Path,
    kind: str | tuple[str, ...],
    remedy: str,
    *,
    seq_len: int | None = None,
    allow_other_songs: bool = False,
) -> Trained:
    """As `load_trained`, for use with the music of `store`.

    Raises `CheckpointError`, too, where the weights know other genres or another frame rate, or were trained on songs
    that are not in the store's training split: they may be in its test split. A store that has grown since is the same
    store. `allow_other_songs` lets other songs pass.
    """
    trained = load_trained(path, kind, remedy, seq_len=seq_len)
    remedy = f"name the store it was trained on, or {remedy}"
    if (trained.genres, trained.condition) != (list(store.genres), store.condition):
        raise CheckpointError(
            f"{path}: trained on the {trained.condition} names {', '.join(trained.genres)}, but {store.folder} has the "
            f"{store.condition} names {', '.join(store.genres)}; {remedy}"
        )
    if trained.frames_per_second != store.frames_per_second:
        raise CheckpointError(
            f"{path}: trained at {trained.frames_per_second} frames a second, but {store.folder} has "
            f"{store.frames_per_second}; {remedy}"
        )
    known = torch.isin(trained.training_songs, torch.as_tensor(store.song_ids("train")))
    if not allow_other_songs and not known.all():
        raise CheckpointError(
            f"{path}: {int((~known).sum())} of the {len(known)} songs it was trained on are not among the training "
            f"songs of {store.folder}, so that no result there is of unheard music; {remedy}"
        )
    return trained
