"""The networks and their named sizes: presets name them, stages build them, weights files rebuild them."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from torch import Tensor, nn

from .notes.conv_generator import ConvGenerator
from .notes.note_cvae import NoteCVAE
from .notes.projection_critic import ProjectionCritic
from .registry import NETWORKS
from .rolls.critic import Critic
from .rolls.cvae import CVAE
from .rolls.generator import Generator


@dataclass(frozen=True)
class Architecture:
    """A network and its sizes, which are arguments of its constructor."""

    network: type[nn.Module]
    sizes: Mapping[str, int | str]


# What a preset names.
PAPER, PAPER_512, LARGE = "paper", "paper-512", "large"
ARCHITECTURES: dict[str, dict[str, Architecture]] = {
    "cvae": {
        PAPER: Architecture(CVAE, {"latent": 32, "hidden": 16, "event_size": 16, "genre_size": 4}),
        LARGE: Architecture(NoteCVAE, {"latent": 16, "hidden": 256, "depth": 4, "genre_size": 32}),
    },
    "generator": {
        PAPER: Architecture(Generator, {"hidden": 32, "genre_size": 4}),
        PAPER_512: Architecture(Generator, {"hidden": 512, "genre_size": 4}),  # as the published code's stage 3
        LARGE: Architecture(ConvGenerator, {"hidden": 128, "genre_size": 32}),
    },
    "critic": {
        PAPER: Architecture(Critic, {"hidden": 32, "genre_size": 4}),
        PAPER_512: Architecture(Critic, {"hidden": 512, "genre_size": 4}),
        LARGE: Architecture(ProjectionCritic, {"hidden": 128}),
    },
}


def build(kind: str, architecture: str, **arguments: Any) -> nn.Module:
    """A new model. `arguments` of the constructor win over the architecture's sizes, but for those that are None.

    Raises ValueError for a kind or architecture that there is not, or an argument that it does not have.
    """
    try:
        chosen = ARCHITECTURES[kind][architecture]
    except KeyError:
        known = "; ".join(f"{name}: {', '.join(named)}" for name, named in ARCHITECTURES.items())
        raise ValueError(f"no {kind} of architecture {architecture!r}; known are {known}") from None
    given = {name: value for name, value in arguments.items() if value is not None}
    for name in given.keys() - signature(chosen.network).parameters.keys():
        raise ValueError(f"a {kind} of architecture {architecture} has no {name}")
    return chosen.network(**{**chosen.sizes, **given})


def describe(model: nn.Module) -> dict[str, Any]:
    """What rebuilds a model, as plain data: kind, network, the constructor's arguments, weights."""
    weights = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    return {"kind": model.kind, "network": model.network, "config": model.config, "weights": weights}


def rebuild(description: Mapping[str, Any]) -> nn.Module:
    """The model that `describe` describes, in eval mode on the CPU.

    Raises ValueError for an unknown network or weights that are not finite; KeyError, TypeError or RuntimeError where
    the description is not whole or its parts do not fit one another.
    """
    name, weights = (description["kind"], description["network"]), description["weights"]
    if name not in NETWORKS:
        known = ", ".join(" ".join(pair) for pair in NETWORKS)
        raise ValueError(f"a {' '.join(map(str, name))}, which this code does not know; it knows {known}")
    model = NETWORKS[name](**description["config"])
    model.load_state_dict(weights, strict=True)
    for tensor_name, tensor in weights.items():
        if not is_finite(tensor):
            raise ValueError(f"its weights are not finite ({tensor_name}): training went wrong, train it again")
    return model.eval()


def is_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(tensor.isfinite().all())


def adopt(
    source: nn.Module, n_genres: int, *, same_genres: bool, prior: str | None = None
) -> tuple[nn.Module, dict[str, str]]:
    """A copy of `source` for `n_genres` genres, and what became of each tensor: "kept", or "new".

    New are the embeddings of genres that are not the `same_genres`: each begins as the mean of the old ones; and all of
    the prior, where it is to be another one.
    """
    changes = {"n_genres": n_genres} | ({"prior": prior} if prior else {})
    target = type(source)(**{**source.config, **changes})
    weights, new = source.state_dict(), set()
    if not same_genres:
        new = {
            f"{name}.weight" for name, module in target.named_modules()
            if name.rpartition(".")[2] == "genre" and isinstance(module, nn.Embedding)
        }  # fmt: skip
        for name in new:
            weights[name] = weights[name].mean(0, keepdim=True).expand(n_genres, -1)
    if prior not in (None, source.config.get("prior")):
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("prior.")}
        of_prior = {name: tensor for name, tensor in target.state_dict().items() if name.startswith("prior.")}
        weights, new = weights | of_prior, new | set(of_prior)
    target.load_state_dict(weights, strict=True)
    return target, {name: "new" if name in new else "kept" for name in weights}


def carry_over(source: nn.Module, target: nn.Module) -> dict[str, str]:
    """Copy what `source` learned into `target`, the same architecture at the same or a longer T.

    Returns for every tensor "kept" (copied) or "grown" (made for the longer T from the shorter one's).
    Raises ValueError where the two differ in more than T, or T is not a multiple.
    """
    if type(source) is not type(target):
        raise ValueError(f"cannot carry a {source.kind} over from {source.network} to {target.network}")
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

