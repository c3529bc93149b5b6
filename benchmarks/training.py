"""Windows a second of every stage and T, and what our CPU kernels gain over the library's.

    python benchmarks/training.py --store demo/store
    python benchmarks/training.py --store demo/store --device cuda
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor, nn

from benchmarks.timing import machine, print_table, seconds
from common.device import peak_memory_mb
from models import CVAE, Critic, Generator
from models.checkpoint import save_weights
from models.gru import FrameGRU
from models.losses import critic_loss
from train_cgan import CGANStage
from train_cgan import Options as CGANOptions
from train_cvae import CVAEStage
from train_cvae import Options as CVAEOptions
from train_hybrid import HybridStage
from train_hybrid import Options as HybridOptions
from training.stage import Draw, Stage

BATCH = 512


def stage_rate(stage: Stage, seq_len: int) -> float:
    """Windows a second of whole iterations, batches included."""
    stage.open_windows(seq_len)
    stage.models = {}
    stage.build_models(seq_len)
    stage.make_optimizers()
    steps = iter(range(10**6))

    def iteration() -> None:
        draw = Draw(stage.train_windows, stage.order, 0, 0, next(steps) % stage.order.steps_per_epoch)
        stage.train_step(draw)

    return min(BATCH, len(stage.train_windows)) / seconds(iteration)


def stages(store: Path, device: str, folder: Path) -> None:
    common = {"store": store, "checkpoints": folder, "device": device, "batch_size": BATCH}
    cvae_stage = CVAEStage(CVAEOptions(**common))
    facts = {"genres": cvae_stage.genres}
    save_weights(CVAE(len(facts["genres"])), folder / "cvae_pretrained_best.pth", **facts)
    rows = [["stage 1, T = 32", stage_rate(cvae_stage, 32)]]
    rows.append(["stage 2, T = 32", stage_rate(CGANStage(CGANOptions(**common)), 32)])
    hybrid = HybridStage(HybridOptions(**common))
    rows += [[f"stage 3, T = {seq_len}", stage_rate(hybrid, seq_len)] for seq_len in (32, 64, 128)]
    cvae = CVAE(len(facts["genres"])).to(hybrid.device)
    z, genre = torch.randn(BATCH, cvae.latent, device=hybrid.device), torch.zeros(BATCH, dtype=torch.long)
    genre = genre.to(hybrid.device)
    for seq_len in (32, 64, 128):
        decode = seconds(lambda seq_len=seq_len: cvae.decode_free(z, genre, seq_len))
        rows.append([f"free-running decode, T = {seq_len}", BATCH / decode])
    print_table(f"Batches of {BATCH}, paper preset; {machine()}", ["", "windows/s"], rows)
    print(f"\nMemory high-water mark of all this: {peak_memory_mb():.0f} MiB")


def plain_critic_loss(critic: Critic, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor) -> Tensor:
    """The baseline: the gradient penalty by autograd's double backward."""
    mixed = torch.lerp(fake, real, mix[:, None, None]).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(mixed, genre).sum(), mixed, create_graph=True)
    norm = gradient.flatten(1).norm(dim=1)
    return critic(fake, genre).mean() - critic(real, genre).mean() + 10 * (norm - 1).square().mean()


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
        theirs = seconds(lambda batch=batch: plain_critic_loss(*batch).backward())
        ours = seconds(lambda batch=batch: critic_loss(*batch, 10.0)[0].backward())
        rows.append([f"critic step, T = {seq_len}", f"{1e3 * theirs:.0f}", f"{1e3 * ours:.0f}", theirs / ours])
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
