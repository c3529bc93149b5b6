"""Windows per second of each stage and T, and the speed of our CPU kernels compared with the library's.

    python -m benchmarks.training --store demo/store
    python -m benchmarks.training --store demo/store --device cuda
"""

import tempfile
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import machine, parse_arguments, print_table, seconds, speeds
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

BATCH, LARGE_BATCH, SEQ_LENS = 512, 64, (32, 64, 128)


def stage_rate(stage: RollStage, seq_len: int) -> float:
    """Windows per second of whole iterations, with the making of batches."""
    phase = RollPhase(f"T={seq_len}", 1, seq_len)
    stage.open_phase(phase)
    stage.models = {}
    stage.build_models(phase)
    stage.start()
    first = cycle(range(0, max(stage.n_examples - BATCH, 1), BATCH))
    return min(BATCH, stage.n_examples) / seconds(lambda: stage.train_step(Position(phase, 0, next(first))))


def stages(store: Path, device: str, folder: Path) -> None:
    common = {"store": store, "checkpoints": folder, "device": device, "batch_size": BATCH}
    cvae_stage = CVAEStage(CVAEOptions(**common))
    process = prepare_process(cvae_stage.device)
    cvae_stage.open()
    content = weights_content(CVAE(len(cvae_stage.genres)), cvae_stage.facts(cvae_stage.phases[0]))
    save_plain(content, folder / pretrained_file("cvae"))
    cgan_stage, hybrid = CGANStage(CGANOptions(**common)), HybridStage(HybridOptions(**common))
    cgan_stage.open()
    hybrid.open()
    rows = [["stage 1, T = 32", stage_rate(cvae_stage, 32)], ["stage 2, T = 32", stage_rate(cgan_stage, 32)]]
    rows += [[f"stage 3, T = {seq_len}", stage_rate(hybrid, seq_len)] for seq_len in SEQ_LENS]
    cvae = CVAE(len(hybrid.genres)).to(hybrid.device)
    z, genre = torch.randn(BATCH, cvae.latent), torch.zeros(BATCH, dtype=torch.long)
    z, genre = z.to(hybrid.device), genre.to(hybrid.device)
    for seq_len in SEQ_LENS:
        decode = seconds(lambda seq_len=seq_len: cvae.decode_free(z, genre, seq_len))
        rows.append([f"free-running decode, T = {seq_len}", BATCH / decode])
    print_table(f"Batches of {BATCH}, paper preset; {machine()}; {process}", ["", "windows/s"], rows)
    print(f"\nMemory high-water marks of all this: {peak_memory_mb(hybrid.device)}")


class StackedCritic(ProjectionCritic):
    """The baseline of the critic of preset large: the change of the roll is stacked on the roll, as described."""

    def _of_roll_and_change(self, roll: Tensor) -> Tensor:
        padded = F.pad(roll, (1, 1))
        change = F.pad(padded, (1, 0)).diff(dim=2)
        return F.conv1d(torch.cat([padded, change], dim=1), self.first.weight, self.first.bias)


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
    options = parse_arguments(
        __doc__, store=(Path("demo/store"), "roll store"), device=("auto", "device of the stages: auto, cpu, cuda")
    )
    with tempfile.TemporaryDirectory() as folder:
        stages(options.store, options.device, Path(folder))
    rows = [row for seq_len in (32, 128) for row in kernel_rows(seq_len)]
    print_table("CPU kernels, forward and backward, milliseconds per batch", ["", "library", "ours", "ratio"], rows)


if __name__ == "__main__":
    main()
