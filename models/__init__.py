"""The networks, their priors and losses, and weights files. This package imports torch only."""

from .architectures import ARCHITECTURES, LARGE, PAPER, PAPER_512, adopt, build, carry_over
from .base import Model
from .checkpoint import describe, rebuild
from .notes.conv_generator import ConvGenerator
from .notes.note_cvae import NoteCVAE
from .notes.projection_critic import ProjectionCritic
from .prior import Posterior
from .rolls.critic import Critic
from .rolls.cvae import CVAE
from .rolls.generator import Generator
from .study import adversarial_vae, attribute_vae, measure_vae

__all__ = [
    "ARCHITECTURES", "CVAE", "LARGE", "PAPER", "PAPER_512", "ConvGenerator", "Critic", "Generator", "Model", "NoteCVAE",
    "Posterior", "ProjectionCritic", "adopt", "adversarial_vae", "attribute_vae", "build", "carry_over", "describe",
    "measure_vae", "rebuild",
]  # fmt: skip
