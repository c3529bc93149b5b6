"""Named sizes of the networks: presets name them, training stages build them."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from .base import Model
from .notes.conv_generator import ConvGenerator
from .notes.note_cvae import NoteCVAE
from .notes.projection_critic import ProjectionCritic
from .rolls.critic import Critic
from .rolls.cvae import CVAE
from .rolls.generator import Generator


@dataclass(frozen=True)
class Architecture:
    """A network and its sizes, which are arguments of its constructor."""

    network: type[Model]
    sizes: Mapping[str, int | str]


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


def build(kind: str, architecture: str, **arguments: Any) -> Model:
    """A new model. `arguments` of the constructor, except those that are None, override the architecture's sizes.

    Raises ValueError for an unknown kind or architecture, or an argument that the network does not have.
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
