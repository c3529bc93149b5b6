"""Options of free-running decoders, of frames or of notes, without torch."""

from typing import NamedTuple

THRESHOLD = 0.5  # probability above which a cell sounds
# Input of a frame decoder from its own previous frame: cells above the threshold, cells drawn with their probability,
# or the probabilities, which it never sees in training.
THRESHOLDED, SAMPLED, PROBABILITIES = FEEDBACK = ("thresholded", "sampled", "probabilities")


class Playing(NamedTuple):
    """Options of free-running decoding. Each decoder uses those in its `plays_by`.

    Frames: `threshold` and `feedback`. Notes: `temperature` divides the logits (1 draws from the model, 0 takes the
    most likely choice); `nucleus` keeps the most likely choices with this total probability (Holtzman et al. 2020).
    Generators without an outline: `threshold`; `group_onsets`: the rule of `models.onset_groups`, in preset large.
    """

    threshold: float = THRESHOLD
    feedback: str = THRESHOLDED
    temperature: float = 1.0
    nucleus: float = 1.0
    group_onsets: bool = True
