"""All networks: importing this module completes the table `NETWORKS`, by kind and network."""

from .base import NETWORKS
from .notes.conv_generator import ConvGenerator
from .notes.note_cvae import NoteCVAE
from .notes.projection_critic import ProjectionCritic
from .rolls.critic import Critic
from .rolls.cvae import CVAE
from .rolls.generator import Generator
from .study.adversarial_vae import AdversarialVAE
from .study.attribute_vae import AttributeVAE
from .study.measure_vae import MeasureVAE

__all__ = [
    "CVAE", "NETWORKS", "AdversarialVAE", "AttributeVAE", "ConvGenerator", "Critic", "Generator", "MeasureVAE",
    "NoteCVAE", "ProjectionCritic",
]  # fmt: skip
