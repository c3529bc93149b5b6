"""The named sizes of the networks, without torch."""

from collections.abc import Mapping

from .names import LARGE, PAPER, PAPER_512

# By kind and architecture: the network, and the arguments of its constructor.
ARCHITECTURES: dict[str, dict[str, tuple[str, Mapping[str, int]]]] = {
    "cvae": {
        PAPER: ("frame-gru", {"latent": 32, "hidden": 16, "event_size": 16, "genre_size": 4}),
        LARGE: ("notes", {"latent": 16, "hidden": 256, "depth": 4, "genre_size": 32}),
    },
    "generator": {
        PAPER: ("mlp", {"hidden": 32, "genre_size": 4}),
        PAPER_512: ("mlp", {"hidden": 512, "genre_size": 4}),  # as the published code's stage 3
        LARGE: ("convolutions", {"hidden": 128, "genre_size": 32, "noise": 4, "outline": 256}),
    },
    "critic": {
        PAPER: ("convolutions", {"hidden": 32, "genre_size": 4}),
        PAPER_512: ("convolutions", {"hidden": 512, "genre_size": 4}),
        LARGE: ("projection", {"hidden": 128}),
    },
}
