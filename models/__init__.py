"""The networks, their priors and losses, and weights files. This package imports torch only."""

from .architectures import ARCHITECTURES, LARGE, PAPER, PAPER_512, build
from .base import Model
from .notes.conv_generator import ConvGenerator
from .notes.note_cvae import NoteCVAE
from .notes.projection_critic import ProjectionCritic
from .prior import Posterior
from .registry import describe, rebuild
from .rolls.critic import Critic
from .rolls.cvae import CVAE
from .rolls.generator import Generator
from .study import adversarial_vae, attribute_vae, measure_vae
from .transfer import adopt, carry_over

__all__ = [
    "ARCHITECTURES", "CVAE", "LARGE", "PAPER", "PAPER_512", "ConvGenerator", "Critic", "Generator", "Model", "NoteCVAE",
    "Posterior", "ProjectionCritic", "adopt", "adversarial_vae", "attribute_vae", "build", "carry_over", "describe",
    "measure_vae", "rebuild",
]  # fmt: skip
