"""Networks by the two names, kind and network, that a weights file states; plain data from a model and back."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .base import Model

NETWORKS: dict[tuple[str, str], type[Model]] = {}


def register(network: type[Model]) -> type[Model]:
    """Class decorator: adds the class to `NETWORKS` by its `kind` and `network`."""
    NETWORKS[network.kind, network.network] = network
    return network


def describe(model: Model) -> dict[str, Any]:
    """All that `rebuild` needs, as plain data: kind, network, arguments of the constructor, weights on the CPU."""
    weights = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    return {"kind": model.kind, "network": model.network, "config": model.config, "weights": weights}


def rebuild(description: Mapping[str, Any]) -> Model:
    """The model of a `description` by `describe`, in eval mode on the CPU.

    Raises ValueError for an unknown network or weights that are not finite; KeyError, TypeError or RuntimeError where
    the description is incomplete or its parts do not fit together.
    """
    name, weights = (description["kind"], description["network"]), description["weights"]
    if name not in NETWORKS:
        known = ", ".join(" ".join(pair) for pair in NETWORKS)
        raise ValueError(f"unknown network {' '.join(map(str, name))}; known are {known}")
    model = NETWORKS[name](**description["config"])
    model.load_state_dict(weights, strict=True)
    for tensor_name, tensor in weights.items():
        if not is_finite(tensor):
            raise ValueError(f"its weights are not finite ({tensor_name}): training went wrong, train it again")
    return model.eval()


def is_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(tensor.isfinite().all())
