"""Windows a second of every stage and T, and what our CPU kernels gain over the library's.

    python -m benchmarks.training --store demo/store
    python -m benchmarks.training --store demo/store --device cuda
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import machine, print_table, seconds
from common.device import peak_memory_mb, prepare_process
from common.files import save_plain
from models import CVAE, Critic, Generator, ProjectionCritic
from models.base import RollCritic
from models.checkpoint import weights_content
from models.gru import FrameGRU
from models.losses import critic_loss
from models.weight_files import pretrained_file
from train_cgan import CGANStage
from train_cgan import Options as CGANOptions
from train_cvae import CVAEStage
from train_cvae import Options as CVAEOptions
from train_hybrid import HybridStage
from train_hybrid import Options as HybridOptions
from training.roll_stage import RollPhase, RollStage
from training.stage import Position

BATCH, LARGE_BATCH = 512, 64


def stage_rate(stage: RollStage, seq_len: int) -> float:
    """Windows a second of whole iterations, batches included."""
    phase = RollPhase.of(seq_len, 1)
    stage.open_phase(phase)
    stage.models = {}
    stage.build_models(phase)
    stage.start()
    first = cycle(range(0, max(stage.n_examples - BATCH, 1), BATCH))
    return min(BATCH, stage.n_examples) / seconds(lambda: stage.train_step(Position(phase, 0, next(first))))


def stages(store: Path, device: str, folder: Path) -> None:
    common = {"store": store, "checkpoints": folder, "device": device, "batch_size": BATCH}
    cvae_stage = CVAEStage(CVAEOptions(**common))
    told = prepare_process(cvae_stage.device)
    cvae_stage.open()
    content = weights_content(CVAE(len(cvae_stage.genres)), cvae_stage.facts(cvae_stage.phases[0]))
    save_plain(content, folder / pretrained_file("cvae"))
    cgan_stage, hybrid = CGANStage(CGANOptions(**common)), HybridStage(HybridOptions(**common))
    cgan_stage.open()
    hybrid.open()
    rows = [["stage 1, T = 32", stage_rate(cvae_stage, 32)], ["stage 2, T = 32", stage_rate(cgan_stage, 32)]]
    rows += [[f"stage 3, T = {seq_len}", stage_rate(hybrid, seq_len)] for seq_len in (32, 64, 128)]
    cvae = CVAE(len(hybrid.genres)).to(hybrid.device)
    z, genre = torch.randn(BATCH, cvae.latent, device=hybrid.device), torch.zeros(BATCH, dtype=torch.long)
    genre = genre.to(hybrid.device)
    for seq_len in (32, 64, 128):
        decode = seconds(lambda seq_len=seq_len: cvae.decode_free(z, genre, seq_len))
        rows.append([f"free-running decode, T = {seq_len}", BATCH / decode])
    print_table(f"Batches of {BATCH}, paper preset; {machine()}; {told}", ["", "windows/s"], rows)
    print(f"\nMemory high-water marks of all this: {peak_memory_mb(hybrid.device)}")


def plain_critic_loss(scores: Callable[..., tuple[Tensor, Tensor, Tensor]], *batch: Any) -> Tensor:
    """The baseline: the gradient penalty by autograd's double backward, as `scores` does it."""
    score_real, score_fake, norm = scores(*batch)
    return score_fake.mean() - score_real.mean() + 10 * (norm - 1).square().mean()


class StackedCritic(ProjectionCritic):
    """The baseline: the critic of preset large as it is described, the change stacked on the roll."""

    def _of_roll_and_change(self, roll: Tensor) -> Tensor:
        padded = F.pad(roll, (1, 1))
        change = F.pad(padded, (1, 0)).diff(dim=2)
        return F.conv1d(torch.cat([padded, change], dim=1), self.first.weight, self.first.bias)


def scores_of_all_together(
    critic: nn.Module, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The baseline: real, fake and mixed rolls in one batch, through all of which the double backward goes."""
    mixed = torch.lerp(fake, real, mix[:, None, None]).requires_grad_()
    score_real, score_fake, score_mixed = critic(torch.cat([real, fake, mixed]), genre.repeat(3)).chunk(3)
    (gradient,) = torch.autograd.grad(score_mixed.sum(), mixed, create_graph=True)
    return score_real, score_fake, gradient.square().flatten(1).sum(1).sqrt()


def kernels() -> None:
    """Forward and backward on the CPU, against torch.nn.GRU and autograd's double backward."""
    rows = []
    for seq_len in (32, 128):
        roll = (torch.rand(BATCH, seq_len, 128) < 0.04).float()
        genre = torch.randint(4, (BATCH,))
        gru = FrameGRU(128, 0, 16, bidirectional=True)
        theirs = seconds(lambda roll=roll, gru=gru: gru.gru(roll)[0].sum().backward())
        ours = seconds(lambda roll=roll, gru=gru: gru(roll).sum().backward())
        rows.append([f"bidirectional GRU, T = {seq_len}", f"{1e3 * theirs:.0f}", f"{1e3 * ours:.0f}", theirs / ours])
        with torch.no_grad():
            decoder = nn.GRU(132, 16, batch_first=True)
            cvae = CVAE(4)
            z, frame = torch.randn(BATCH, 32), torch.zeros(BATCH, 1, 132)
            steps = range(seq_len)
            theirs = seconds(lambda decoder=decoder, steps=steps, frame=frame: [decoder(frame) for _ in steps])
            ours = seconds(lambda cvae=cvae, z=z, genre=genre, n=seq_len: cvae.decode_free(z, genre, n))
        name = f"free-running decode, T = {seq_len} (baseline: GRU steps alone)"
        rows.append([name, f"{1e3 * theirs:.0f}", f"{1e3 * ours:.0f}", theirs / ours])
        critic, fake = Critic(4, seq_len), Generator(4, seq_len)(torch.randn(BATCH, 32), genre).detach()
        real, mix = roll.transpose(1, 2), torch.rand(BATCH)
        batch = (critic, real, fake, genre, mix)
        theirs = seconds(lambda batch=batch: plain_critic_loss(RollCritic.scores_and_gradient_norm, *batch).backward())
        ours = seconds(lambda batch=batch: critic_loss(*batch, 10.0)[0].backward())
        rows.append([f"critic step, T = {seq_len}", f"{1e3 * theirs:.0f}", f"{1e3 * ours:.0f}", theirs / ours])
        few = [field[:LARGE_BATCH] for field in batch[1:]]
        stacked, critic = StackedCritic(4, seq_len), ProjectionCritic(4, seq_len)
        plain = partial(plain_critic_loss, scores_of_all_together, stacked, *few)
        theirs = seconds(lambda plain=plain: plain().backward())
        ours = seconds(lambda critic=critic, few=few: critic_loss(critic, *few, 10.0)[0].backward())
        name = f"critic step of preset large, T = {seq_len} (baseline: as described, all in one batch)"
        rows.append([name, f"{1e3 * theirs:.0f}", f"{1e3 * ours:.0f}", theirs / ours])
    rows = [[*row[:3], f"{row[3]:.1f}"] for row in rows]
    print_table("CPU kernels, milliseconds for a batch", ["", "library", "ours", "ratio"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("demo/store"))
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stages(options.store, options.device, Path(folder))
    kernels()


if __name__ == "__main__":
    main()
