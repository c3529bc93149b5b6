"""A trained model from its weights file, with the facts of its training."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .base import Model, StudyVAE
from .checkpoint import read_checkpoint, rebuild
from .errors import CheckpointError

# Facts that every file has, with their types.
_ROLL_FACTS = {
    "genres": list, "condition": str, "frames_per_second": int, "seq_len": int, "labels": str, "trained_on": str,
    "training_songs": Tensor,
}  # fmt: skip
_STUDY_FACTS = {"attributes": (list, tuple), "form": dict}


@dataclass(frozen=True)
class Trained:
    """A model in eval mode on the CPU. `sha256`: the first twelve hexadecimal digits of the file's hash.

    `seq_len`: frames of the windows that it was trained on, or loaded for; None for a model of the study.
    The properties are for models of rolls. `genres`: the position is the genre id; `condition`: genre, composer, mood,
    ...; `training_songs`: their ids, int64 (n,), sorted. Other facts: `labels`, "given", or "shuffled" for random
    genres; `trained_on`, a short hash of the training songs.
    """

    path: Path
    model: Model
    facts: dict[str, Any]
    sha256: str
    seq_len: int | None

    @property
    def genres(self) -> list[str]:
        return list(self.facts["genres"])

    @property
    def condition(self) -> str:
        return self.facts["condition"]

    @property
    def frames_per_second(self) -> int:
        return int(self.facts["frames_per_second"])

    @property
    def training_songs(self) -> Tensor:
        return self.facts["training_songs"]


def load(
    path: Path, kind: str | tuple[str, ...], remedy: str, *, network: str | None = None, seq_len: int | None = None,
    store: Any = None, allow_other_songs: bool = False,
) -> Trained:  # fmt: skip
    """The trained model in a weights file, of rolls or of the study.

    Raises `CheckpointError` with `remedy` if the file is missing, damaged or incomplete, holds another `kind` (one of
    several) or `network`, or was trained at another T than `seq_len` and takes no other. With a roll `store` also if
    the genres or the frame rate differ, or, unless `allow_other_songs`, if some training songs are not in the store's
    training split: the store's test split may contain them. New songs in the store are allowed.
    """
    content = read_checkpoint(path, remedy)
    kinds = (kind,) if isinstance(kind, str) else kind
    if content.get("kind") not in kinds or network not in (None, content.get("network")):
        found = content.get("network" if network else "kind") or "no weights"
        raise CheckpointError(f"{path}: holds {found}, but {network or ' or '.join(kinds)} is needed; {remedy}")
    try:
        model, facts = rebuild(content), content["facts"]
        for name, types in (_STUDY_FACTS if isinstance(model, StudyVAE) else _ROLL_FACTS).items():
            if not isinstance(facts[name], types):
                raise TypeError(f"{name} is {facts[name]!r:.80}")
        if "n_genres" in model.config and [*map(type, facts["genres"])] != [str] * model.config["n_genres"]:
            raise KeyError("names of its genres")
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; {remedy}") from error
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path}: damaged or of another version ({reason}); {remedy}") from error
    own = facts.get("seq_len")
    if seq_len not in (None, own) and not model.any_length:
        raise CheckpointError(f"{path}: trained on windows of T = {own}, not {seq_len}; {remedy}")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    trained = Trained(path, model, facts, sha256, seq_len or own)
    if store is not None:
        _check_store(trained, store, f"name the store it was trained on, or {remedy}", allow_other_songs)
    return trained


def _check_store(trained: Trained, store: Any, remedy: str, allow_other_songs: bool) -> None:
    path = trained.path
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
            f"songs of {store.folder}, so a result on its test split may be on music seen in training; {remedy}"
        )
