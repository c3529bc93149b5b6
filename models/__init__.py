"""The networks, what they are sampled from, and their losses. This package needs torch alone."""

from .architectures import ARCHITECTURES, LARGE, PAPER, PAPER_512, adopt, build, carry_over, describe, rebuild
from .notes.conv_generator import ConvGenerator
from .notes.note_cvae import NoteCVAE
from .notes.projection_critic import ProjectionCritic
from .prior import Posterior
from .rolls.critic import Critic
from .rolls.cvae import CVAE
from .rolls.generator import Generator
from .study import adversarial_vae, attribute_vae, measure_vae

__all__ = [
    "ARCHITECTURES", "CVAE", "LARGE", "PAPER", "PAPER_512", "ConvGenerator", "Critic", "Generator", "NoteCVAE",
    "Posterior", "ProjectionCritic", "adopt", "adversarial_vae", "attribute_vae", "build", "carry_over", "describe",
    "measure_vae", "rebuild",
]  # fmt: skip
