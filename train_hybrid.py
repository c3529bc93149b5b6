"""Stage 3: train CVAE, generator and critic together, on windows of 32, then 64, then 128 frames.

    python train_hybrid.py --store store
    python train_hybrid.py --store store --no-encoder-gradient      # ablation: L_G does not reach the encoder
    python train_hybrid.py --store store --seq-len 32,64 --epochs 3,2

Starts from the CVAE of stage 1, and from generator and critic of stage 2 if there are any. The same command resumes a
run that was stopped. Writes checkpoints/hybrid_{cvae,G,D}_{best,last} for each T, as hybrid_G_best_T128.pth and
hybrid_G_T128_last.pth.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.errors import UserError, run_command
from common.options import option, parse_options
from data.window_lengths import WINDOW_LENGTHS
from models import CVAE, Critic, Generator
from models.errors import CheckpointError
from models.losses import elbo_terms
from models.names import NLL, PRIORS, RECONSTRUCTIONS, SQUARED_ERROR
from models.weight_files import hybrid_file, pretrained_file
from training import presets
from training.adversarial import Adversaries, Encoded, GradientShare, WganOptions, carry
from training.loop import train
from training.optimizers import OptimizerOptions, optimizer_of, set_dropout
from training.roll_stage import (
    BALANCES,
    Draw,
    EarlierStageOptions,
    RollPhase,
    RollStage,
    RollTrainingOptions,
    with_prior,
)
from training.stage import Phase
from training.validation import validate_cvae, validate_generator

KINDS = {"cvae": CVAE.kind, "G": Generator.kind, "D": Critic.kind}
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


class HybridStage(RollStage):
    name = "hybrid"
    best_by = {"cvae": "negative_elbo", "G": "roll_distance", "D": "roll_distance"}
    averaged = ("cvae", "G")

    def phases_of(self, options: Options) -> list[RollPhase]:
        phases = zip(options.seq_lens, options.epochs, strict=True)
        return [RollPhase(f"T={seq_len}", epochs, seq_len) for seq_len, epochs in phases]

    def open(self) -> None:
        super().open()
        self.pretrained, self.initial_log = {}, []
        for name, kind in KINDS.items():
            earlier = pretrained_file(kind)
            if self.options.init_from:
                model, lines = self.load_initial(hybrid_file(name, self.options.seq_lens[0]), kind)
                self.initial_log += lines
            elif kind == CVAE.kind or (self.checkpoints / earlier).exists():
                model = self.load_earlier(kind)
            else:
                continue
            if kind != Critic.kind:
                model, lines = with_prior(model, self.options.prior)
                self.initial_log += lines
            self.pretrained[name] = model
        if self.options.reconstruction != NLL and not self.pretrained["cvae"].predicts_cells:
            raise UserError(f"a note decoder has no probabilities of cells: give --reconstruction {NLL}")

    def build_models(self, phase: RollPhase) -> list[str]:
        self.seed_weights(self.name, phase.seq_len)
        log = ["best by: validation ELBO, mean over genres (cvae), distance of generated to real windows (G, D)"]
        earlier, origin = self.models or self.pretrained, ""
        if not self.models:
            log += self.initial_log
            origin = "" if self.options.init_from else f" from {pretrained_file('cvae')}"
        log.append(f"cvae: all tensors kept{origin}")
        gan = Adversaries.build(self.options, earlier["cvae"], len(self.genres), phase.seq_len)
        models = {"cvae": earlier["cvae"], "G": gan.generator, "D": gan.critic}
        for name in ("G", "D"):
            if name in earlier:
                log += carry(name, earlier[name], models[name])
            else:
                log.append(f"{name}: all tensors new, there is no {pretrained_file(KINDS[name])}")
        if "G" not in earlier:
            gan.generator.start_at(self.train_windows.pitch_rate().cpu())
        self.models = {name: model.to(self.device) for name, model in models.items()}
        return log

    def start(self) -> None:
        self.models["G"].prior = self.models["cvae"].prior  # one prior, trained with the CVAE
        self.gan = Adversaries(self.models["G"], self.models["D"], self.options)
        set_dropout(self.models["cvae"], self.options.dropout)
        super().start()

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        generator, critic = self.gan.optimizers(self.options.gan_learning_rate)
        cvae = optimizer_of(self.models["cvae"], self.options.cvae_learning_rate, self.options)
        return {"cvae": cvae, "G": generator, "D": critic}

    def iterate(self, draw: Draw) -> dict[str, Tensor]:
        for windows in self._critic_windows(draw):
            critic_losses = self.gan.critic_losses(windows, draw)
            self.update(critic_losses["critic"], "D")

        options, cvae, batch = self.options, self.models["cvae"], draw.batch()
        noise = draw.normal(len(batch.genre), cvae.noise_size(self.train_windows.seq_len))
        terms = elbo_terms(cvae, batch, noise, options.reconstruction, options.free_nats)
        kl = terms.kl.sum(1)
        elbo_loss = (self.genre_weights[batch.genre] * (terms.reconstruction + options.beta * kl)).mean()
        z = terms.z.view_as(terms.z) if options.encoder_gradient else terms.z.detach()
        share = GradientShare(terms.z, z)
        generator_loss = self.gan.generator_loss(z, batch.genre, draw)
        # L_hyb = alpha L_ELBO + gamma L_G (report, section 2.3)
        loss = options.alpha * elbo_loss + options.gamma * generator_loss
        self.update(loss, "cvae", "G")
        return {
            "loss": loss, "reconstruction": terms.reconstruction.mean(), "kl": kl.mean(), "generator": generator_loss,
            "generator_share": share.value(), **critic_losses,
        }  # fmt: skip

    @torch.no_grad()
    def _critic_windows(self, draw: Draw) -> Iterator[Encoded]:
        """Encoded windows for each critic step.

        The CVAE does not change during these steps. A GPU encodes all windows in one call, which starts fewer kernels;
        a CPU encodes those of one step at a time, because all together took up to 7 % longer.
        """
        indices = [draw.index(stream) for stream in range(1, self.options.critic_steps + 1)]
        for together in [[index] for index in indices] if self.device.type == "cpu" else [indices]:
            batch = draw.batch_of(torch.cat(together))
            windows = Encoded(batch.roll, batch.genre, self.models["cvae"].encode(*batch))
            yield from windows.split([len(index) for index in together])

    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        return {
            **validate_cvae(models["cvae"], self.val_windows, self.options.reconstruction, self.options.beta),
            **validate_generator(models["G"], self.val_windows),
        }

    def weights_file(self, model: str, phase: Phase, which: str) -> str:
        return hybrid_file(model, phase.seq_len, which)


def train_hybrid(options: Options) -> None:
    """Run stage 3. Raises `UserError` or `CheckpointError`, with a remedy, for wrong options or missing files."""
    train(HybridStage(options))


if __name__ == "__main__":
    run_command(lambda: train_hybrid(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
