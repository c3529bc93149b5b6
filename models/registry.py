"""Networks by the two names that a weights file states. Each class registers itself where it is defined."""

from torch import nn

NETWORKS: dict[tuple[str, str], type[nn.Module]] = {}


def register(network: type[nn.Module]) -> type[nn.Module]:
    """Class decorator: lets weights files name the class by its `kind` and `network`."""
    NETWORKS[network.kind, network.network] = network
    return network
