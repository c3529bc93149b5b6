"""A playing rule for generators of cells: notes that begin one frame apart begin together."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Each round settles all frames with more onsets than their undecided neighbours, and these neighbours. Further rounds
# would serve runs of more than eight frames in which ever more notes begin.
_ROUNDS = 4


def group_onsets(roll: Tensor) -> Tensor:
    """Rolls, bool (B, 128, T), whose notes have moved to a neighbouring frame if more notes begin there.

    A network that decides on each cell separately spreads the notes of a chord over neighbouring frames. Of neighbours
    with as many onsets the earlier one is kept. A note stays where it is if it would join another one of its key. Moved
    notes keep their last frame, unless it is their only one.
    """
    frames = roll.transpose(1, 2)  # as the generators' rolls lie in memory
    begins, after = frames & ~_later(frames, 1), _later(frames, -1)
    to_earlier, to_later = _moves(begins.sum(2))
    # Both neighbours of a moved onset are free: the frame before it is silent, and joining is excluded here.
    to_earlier = begins & to_earlier[..., None] & ~_later(frames, 2)
    to_later = begins & to_later[..., None] & (after | ~_later(frames, -2))
    return ((frames & ~to_later) | _later(to_earlier, -1) | _later(to_later, 1)).transpose(1, 2)


def _moves(n_onsets: Tensor) -> tuple[Tensor, Tensor]:
    """Frames whose onsets move to the frame before, and to that after, bool (B, T) each, from their numbers (B, T).

    Greedy: the frame with the most onsets is kept and its neighbours move, then the same for the rest. Of two kept
    neighbours a frame moves to that with more onsets.
    """
    n_frames = n_onsets.shape[1]
    earliest_first = torch.arange(n_frames - 1, -1, -1, device=n_onsets.device)
    order = torch.where(n_onsets > 0, n_onsets * n_frames + earliest_first, -1)
    undecided, kept = order, torch.zeros_like(n_onsets, dtype=torch.bool)
    for _ in range(_ROUNDS):
        new = (undecided > _later(undecided, 1, -1)) & (undecided > _later(undecided, -1, -1))
        kept = kept | new
        undecided = undecided.masked_fill(new | _later(new, 1) | _later(new, -1), -1)
    size = order.where(kept, -1)
    before, after = _later(size, 1, -1), _later(size, -1, -1)
    moves = (order >= 0) & ~kept
    return moves & (before > after), moves & (after > before)


def _later(frames: Tensor, by: int, fill: int = 0) -> Tensor:
    """`frames` (B, T, ...) moved `by` frames later, earlier if negative, with `fill` in the place that becomes free."""
    rest = [0, 0] * (frames.dim() - 2)
    ends, kept = ([by, 0], frames[:, :-by]) if by > 0 else ([0, -by], frames[:, -by:])
    return F.pad(kept, [*rest, *ends], value=fill)
