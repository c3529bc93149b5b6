"""The networks, what they are sampled from, and their losses. This package needs torch alone."""

from .architectures import ARCHITECTURES, LARGE, PAPER, PAPER_512, adopt, build, carry_over, describe, rebuild
from .conv_generator import ConvGenerator
from .critic import Critic
from .cvae import CVAE
from .generator import Generator
from .note_cvae import NoteCVAE
from .prior import Posterior
from .projection_critic import ProjectionCritic

__all__ = [
    "ARCHITECTURES", "CVAE", "LARGE", "PAPER", "PAPER_512", "ConvGenerator", "Critic", "Generator", "NoteCVAE",
    "Posterior", "ProjectionCritic", "adopt", "build", "carry_over", "describe", "rebuild",
]  # fmt: skip
