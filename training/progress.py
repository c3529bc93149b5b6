"""The position of a training and its results so far, as its saved state has them."""

from dataclasses import dataclass, field


@dataclass
class Progress:
    """The position of the next step, all numbers counted from 0, and the results so far of its phase and epoch."""

    phase: int = 0
    epoch: int = 0
    example: int = 0
    best: dict[str, float] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
