"""The networks, what they are sampled from, and their losses. This package needs torch alone."""

from .architectures import ARCHITECTURES, PAPER, PAPER_512, build, carry_over, describe, rebuild
from .critic import Critic
from .cvae import CVAE
from .generator import Generator
from .prior import Posterior

__all__ = [
    "ARCHITECTURES", "CVAE", "PAPER", "PAPER_512", "Critic", "Generator", "Posterior", "build", "carry_over",
    "describe", "rebuild",
]  # fmt: skip
