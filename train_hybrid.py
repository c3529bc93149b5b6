"""Stage 3: train CVAE, generator and critic together, on windows of 32, then 64, then 128 frames.

    python train_hybrid.py --store store
    python train_hybrid.py --store store --no-encoder-gradient      # ablation: L_G does not reach the encoder
    python train_hybrid.py --store store --seq-len 32,64 --epochs 3,2

Starts from the CVAE of stage 1, and from generator and critic of stage 2 if there are any. The same command resumes a
run that was stopped. Writes checkpoints/hybrid_{cvae,G,D}_{best,last} for each T, as hybrid_G_best_T128.pth and
hybrid_G_T128_last.pth.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import UserError, run_command
from common.options import option, parse_options
from data.window_lengths import WINDOW_LENGTHS
from models.errors import CheckpointError
from models.names import PRIORS, RECONSTRUCTIONS, SQUARED_ERROR
from training import presets
from training.options import BALANCES, EarlierStageOptions, OptimizerOptions, RollTrainingOptions, WganOptions

if TYPE_CHECKING:
    from torch import Tensor

    from training.hybrid_stage import HybridStage
    from training.roll_stage import Draw

PRESETS = presets.presets_of(presets.HYBRID)


@dataclass(frozen=True)
class Options(WganOptions, OptimizerOptions, EarlierStageOptions, RollTrainingOptions):
    """Objective and curriculum of stage 3."""

    seq_lens: tuple[int, ...] = option(
        WINDOW_LENGTHS, "the curriculum: frames in a window", choices=WINDOW_LENGTHS, flag="--seq-len"
    )
    epochs: tuple[int, ...] = option(
        (10, 10, 15), "passes over the training windows at each T", minimum=1, maximum=1_000_000
    )
    cvae_learning_rate: float = option(5e-5, "Adam's, for the CVAE", above=0)
    gan_learning_rate: float = option(1e-4, "Adam's, for the generator and by default for the critic", above=0)
    alpha: float = option(1.0, "weight of L_ELBO", minimum=0)
    beta: float = option(0.01, "weight of the KL divergence in L_ELBO", minimum=0)
    gamma: float = option(0.5, "weight of the adversarial loss L_G", minimum=0)
    reconstruction: str = option(
        SQUARED_ERROR, "first term of L_ELBO: squared error of the cells' probabilities, or nll in nats",
        choices=RECONSTRUCTIONS,
    )  # fmt: skip
    free_nats: float = option(
        0.0, "free bits: no gradient below this KL, in nats, of z (architecture large: of a second's part of z)",
        minimum=0,
    )  # fmt: skip
    prior: str | None = option(
        None, "p(z | genre); a kind other than the CVAE's is trained anew (default: the CVAE's)", choices=PRIORS
    )
    encoder_gradient: bool = option(True, "L_G shapes the latent space: its gradient reaches the encoder")
    balance: str = option("weights", "unequal genres: weight L_ELBO, sample evenly, or nothing", choices=BALANCES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.seq_lens) != len(self.epochs):
            raise UserError(
                f"--seq-len has {len(self.seq_lens)} numbers, --epochs {len(self.epochs)}: give one of each for each T"
            )
        if list(self.seq_lens) != sorted(set(self.seq_lens)):
            raise UserError("--seq-len must rise: models grow from one T to the next")


def iterate(stage: "HybridStage", draw: "Draw") -> dict[str, "Tensor"]:
    """One step of the objective: several of the critic, one of CVAE and generator; returns the losses to log."""
    for windows in stage.critic_windows(draw):
        critic_losses = stage.gan.critic_losses(windows, draw)
        stage.update(critic_losses["critic"], "D")

    options, cvae, batch = stage.options, stage.models["cvae"], draw.batch()
    noise = draw.normal(cvae.noise_size(stage.train_windows.seq_len))
    terms = stage.elbo_terms(batch, noise, draw.most_notes())
    kl = terms.kl.sum(1)
    elbo_loss = (stage.genre_weights[batch.genre] * (terms.reconstruction + options.beta * kl)).mean()
    z = terms.z.view_as(terms.z) if options.encoder_gradient else terms.z.detach()
    share = stage.gradient_share(terms.z, z)
    generator_losses = stage.gan.generator_losses(z, batch.roll, batch.genre, draw)
    # L_hyb = alpha L_ELBO + gamma L_G (report, section 2.3), and the likelihood of an outline
    loss = options.alpha * elbo_loss + options.gamma * generator_losses["generator"]
    loss = loss + generator_losses.get("outline", 0)
    stage.update(loss, "cvae", "G")
    return {
        "loss": loss, "reconstruction": terms.reconstruction.mean(), "kl": kl.mean(), **generator_losses,
        "generator_share": share.value(), **critic_losses,
    }  # fmt: skip


def make_stage(options: Options) -> "HybridStage":
    """The stage with its objective. Raises `UserError` if the device is not available."""
    from training.hybrid_stage import HybridStage

    return HybridStage(options, iterate)


def train_hybrid(options: Options) -> None:
    """Run stage 3. Raises `UserError` or `CheckpointError`, with a remedy, for wrong options or missing files."""
    from training.loop import train

    train(make_stage(options))


if __name__ == "__main__":
    run_command(lambda: train_hybrid(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
