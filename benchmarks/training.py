"""The speed of our CPU kernels compared with the library's. Whole training steps: benchmarks/against.py.

    python -m benchmarks.training

Prints Markdown tables.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import parse_arguments, print_table, seconds, speeds
from models import CVAE, Critic, Generator, ProjectionCritic
from models.base import RollCritic
from models.gru import FrameGRU
from models.losses import critic_loss

BATCH, LARGE_BATCH = 512, 64


class StackedCritic(ProjectionCritic):
    """The baseline of the critic of preset large: the change of the roll is stacked on the roll, as described."""

    def _of_roll_and_change(self, frames: Tensor) -> Tensor:
        padded = F.pad(frames.transpose(1, 2), (1, 1))
        change = F.pad(padded, (1, 0)).diff(dim=2)
        return F.conv1d(torch.cat([padded, change], dim=1), self.first.weight, self.first.bias).transpose(1, 2)


def scores_in_one_batch(
    critic: nn.Module, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The baseline of preset large: the double backward runs over real, fake and mixed rolls in one batch."""
    mixed = torch.lerp(fake, real, mix[:, None, None]).requires_grad_()
    score_real, score_fake, score_mixed = critic(torch.cat([real, fake, mixed]), genre.repeat(3)).chunk(3)
    (gradient,) = torch.autograd.grad(score_mixed.sum(), mixed, create_graph=True)
    return score_real, score_fake, gradient.square().flatten(1).sum(1).sqrt()


def kernel_rows(seq_len: int) -> list[list[str]]:
    roll, genre = (torch.rand(BATCH, seq_len, 128) < 0.04).float(), torch.randint(4, (BATCH,))
    gru = FrameGRU(128, 0, 16, bidirectional=True)
    library = seconds(lambda: gru.gru(roll)[0].sum().backward())
    rows = [speeds(f"bidirectional GRU, T = {seq_len}", library, seconds(lambda: gru(roll).sum().backward()))]

    decoder, cvae = nn.GRU(132, 16, batch_first=True), CVAE(4)
    z, frame = torch.randn(BATCH, 32), torch.zeros(BATCH, 1, 132)
    with torch.no_grad():
        library = seconds(lambda: [decoder(frame) for _ in range(seq_len)])
        ours = seconds(lambda: cvae.decode_free(z, genre, seq_len))
    rows.append(speeds(f"free-running decode, T = {seq_len} (baseline: GRU steps alone)", library, ours))

    fake = Generator(4, seq_len)(torch.randn(BATCH, 32), genre).detach()
    batch = [roll.transpose(1, 2), fake, genre, torch.rand(BATCH)]
    critic, name = Critic(4, seq_len), f"critic step, T = {seq_len}"
    rows.append(critic_row(name, RollCritic.scores_and_gradient_norm, critic, critic, batch))
    few, name = [field[:LARGE_BATCH] for field in batch], f"critic step of preset large, T = {seq_len}"
    stacked, critic = StackedCritic(4, seq_len), ProjectionCritic(4, seq_len)
    rows.append(critic_row(f"{name} (baseline: all in one batch)", scores_in_one_batch, stacked, critic, few))
    return rows


def critic_row(
    name: str, scores: Callable[..., Any], baseline: nn.Module, critic: nn.Module, batch: list[Tensor]
) -> list[str]:
    """Compare the step with autograd's double backward in `scores` with ours."""

    def baseline_step() -> None:
        score_real, score_fake, norm = scores(baseline, *batch)
        (score_fake.mean() - score_real.mean() + 10 * (norm - 1).square().mean()).backward()

    return speeds(name, seconds(baseline_step), seconds(lambda: critic_loss(critic, *batch, 10.0)[0].backward()))


def main() -> None:
    parse_arguments(__doc__)
    rows = [row for seq_len in (32, 128) for row in kernel_rows(seq_len)]
    print_table("CPU kernels, forward and backward, milliseconds per batch", ["", "library", "ours", "ratio"], rows)


if __name__ == "__main__":
    main()
