"""New models: of named sizes, or with the weights of a model for other genres, another prior or a shorter T."""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from torch import nn

from .architectures import ARCHITECTURES
from .base import Model
from .networks import NETWORKS


def build(kind: str, architecture: str, **arguments: Any) -> Model:
    """A new model. `arguments` of the constructor, except those that are None, override the architecture's sizes.

    Raises ValueError for an unknown kind or architecture, or an argument that the network does not have.
    """
    try:
        network, sizes = ARCHITECTURES[kind][architecture]
    except KeyError:
        known = "; ".join(f"{name}: {', '.join(named)}" for name, named in ARCHITECTURES.items())
        raise ValueError(f"no {kind} of architecture {architecture!r}; known are {known}") from None
    given = {name: value for name, value in arguments.items() if value is not None}
    make = NETWORKS[kind, network]
    for name in given.keys() - signature(make).parameters.keys():
        raise ValueError(f"a {kind} of architecture {architecture} has no {name}")
    return make(**{**sizes, **given})


def adopt(source: Model, genres: Sequence[int | None], prior: str | None = None) -> tuple[Model, dict[str, str]]:
    """A copy of `source` for other genres or another prior, and what became of each tensor, for a log.

    `genres`: the row of each genre in the embeddings of `source`, or None for one that it does not know, whose
    embedding is the mean of the old ones. With another `prior` all tensors of the prior are new.
    """
    changes = {"n_genres": len(genres)} | ({"prior": prior} if prior else {})
    target = type(source)(**{**source.config, **changes})
    weights, fates = source.state_dict(), dict.fromkeys(source.state_dict(), "kept")
    if list(genres) != list(range(source.config["n_genres"])):
        for name, module in target.named_modules():
            if name.rpartition(".")[2] == "genre" and isinstance(module, nn.Embedding):
                old = weights[f"{name}.weight"]
                rows = [old.mean(0) if row is None else old[row] for row in genres]
                weights[f"{name}.weight"], fates[f"{name}.weight"] = torch.stack(rows), "by genre"
    if prior not in (None, source.config.get("prior")):
        of_prior = {name: tensor for name, tensor in target.state_dict().items() if name.startswith("prior.")}
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("prior.")} | of_prior
        fates |= dict.fromkeys(of_prior, "new")
    target.load_state_dict(weights, strict=True)
    return target, {name: fates[name] for name in weights}


def fate_line(fates: dict[str, str]) -> str:
    """What `adopt` or `carry_over` made of the tensors, for a log: how many are kept, and the names of the others."""
    others: dict[str, list[str]] = {}
    for name, fate in fates.items():
        if fate != "kept":
            others.setdefault(fate, []).append(name)
    kept = len(fates) - sum(map(len, others.values()))
    listed = (f"{fate}: {', '.join(names)}" for fate, names in others.items())
    return "; ".join([f"{kept} of {len(fates)} tensors kept", *listed])


def carry_over(source: Model, target: Model) -> dict[str, str]:
    """Copy the weights of `source` into `target`, the same network with the same sizes for another T.

    Returns for each tensor "kept" (copied) or "grown" (computed for the longer T).
    Raises ValueError where the two differ in more than T, or the network grows and the new T is not a multiple.
    """
    if type(source) is not type(target):
        raise ValueError(f"cannot carry a {source.kind} over from {source.network} to {target.network}")
    differences = {
        name: (source.config[name], value) for name, value in target.config.items() if source.config[name] != value
    }
    old, new = differences.pop("seq_len", (1, 1))
    if differences:
        listed = ", ".join(f"{name} {was} and {now}" for name, (was, now) in differences.items())
        raise ValueError(f"cannot carry a {source.kind} over: {listed}")
    if new % old and target.grown_tensors:
        raise ValueError(f"cannot carry a {source.kind} over from T={old} to T={new}: not a multiple")
    grown = set() if old == new else set(target.grown_tensors)
    kept = {name: tensor for name, tensor in source.state_dict().items() if name not in grown}
    target.load_state_dict({**target.state_dict(), **kept}, strict=True)
    if grown:
        target.grow_from(source)
    return {name: "grown" if name in grown else "kept" for name in target.state_dict()}
