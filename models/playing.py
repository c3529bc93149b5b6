"""How a decoder plays on its own, whatever it decodes: frame after frame, or note after note."""

from typing import NamedTuple

from torch import Tensor

# Probability above which a cell sounds.
THRESHOLD = 0.5
# What a decoder of frames hears of the frame it has just played: cells above the threshold, cells drawn with their
# probability, or the probabilities themselves, which training never shows it.
THRESHOLDED, SAMPLED, PROBABILITIES = FEEDBACK = ("thresholded", "sampled", "probabilities")


class Playing(NamedTuple):
    """What is left open of playing; each decoder takes what concerns it.

    Frames: cells sound above `threshold`, and `feedback` is what the decoder hears. Notes: `temperature` divides the
    logits (1 draws from the model, 0 takes the likeliest choice), and `nucleus` leaves of each choice the likeliest
    answers that have so much probability together (Holtzman et al. 2020), 1 all.
    """

    threshold: float = THRESHOLD
    feedback: str = THRESHOLDED
    temperature: float = 1.0
    nucleus: float = 1.0


class Decoded(NamedTuple):
    """What a decoder makes on its own: `probability` that a cell sounds, float32, and the `roll` played, bool.

    Both (B, 128, T). Of a decoder of notes the probability is 0 or 1.
    """

    probability: Tensor
    roll: Tensor
