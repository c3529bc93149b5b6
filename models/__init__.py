"""The three networks and their losses. This package needs torch alone, and knows of no files, MIDI or options."""

from typing import Any

from torch import nn

from .critic import Critic
from .cvae import CVAE, Posterior
from .generator import Generator

MODEL_KINDS: dict[str, type[nn.Module]] = {model.kind: model for model in (CVAE, Generator, Critic)}

__all__ = ["CVAE", "MODEL_KINDS", "Critic", "Generator", "Posterior", "carry_over", "rebuild"]


def rebuild(checkpoint: dict[str, Any]) -> nn.Module:
    """The model that a weights checkpoint describes, in eval mode.

    `checkpoint` has "kind", "config" (the constructor's arguments) and "weights". Raises ValueError for an unknown
    kind, RuntimeError where the weights do not fit the model exactly.
    """
    kind = checkpoint.get("kind")
    if kind not in MODEL_KINDS:
        raise ValueError(f"checkpoint of kind {kind!r}; known kinds: {', '.join(MODEL_KINDS)}")
    model = MODEL_KINDS[kind](**checkpoint["config"])
    model.load_state_dict(checkpoint["weights"], strict=True)
    return model.eval()


def carry_over(source: nn.Module, target: nn.Module) -> dict[str, str]:
    """Copy what `source` learned into `target`, the same kind of model at the same or a longer T.

    Returns for every tensor "kept" (copied) or "grown" (made for the longer T from the shorter one's).
    Raises ValueError where the two differ in more than T, or T is not a multiple.
    """
    differences = {
        name: (source.config[name], value) for name, value in target.config.items() if source.config[name] != value
    }
    old, new = differences.pop("seq_len", (1, 1))
    if differences:
        told = ", ".join(f"{name} {was} and {now}" for name, (was, now) in differences.items())
        raise ValueError(f"cannot carry a {source.kind} over: {told}")
    if new % old:
        raise ValueError(f"cannot carry a {source.kind} over from T={old} to T={new}: not a multiple")
    grown = set() if old == new else set(target.grown_tensors)
    kept = {name: tensor for name, tensor in source.state_dict().items() if name not in grown}
    target.load_state_dict({**target.state_dict(), **kept}, strict=True)
    if grown:
        target.grow_from(source)
    return {name: "grown" if name in grown else "kept" for name in target.state_dict()}
