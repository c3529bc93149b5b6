"""Stage 3 without its objective, which is in train_hybrid.py: the three models, the curriculum and validation."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from common.errors import UserError
from data.windows import Batch
from models import CVAE, Critic, Generator
from models.losses import ElboTerms, elbo_terms
from models.names import NLL
from models.weight_files import hybrid_file, hybrid_path, pretrained_file
from training.adversarial import Adversaries, Encoded, GradientShare, carry
from training.optimizers import optimizer_of, set_dropout
from training.options import RollTrainingOptions
from training.roll_stage import Draw, RollPhase, RollStage, with_prior
from training.stage import Phase
from training.validation import validate_cvae, validate_generator

KINDS = {"cvae": CVAE.kind, "G": Generator.kind, "D": Critic.kind}


class HybridStage(RollStage):
    """CVAE, generator and critic, grown from one T to the next."""

    name = "hybrid"
    best_by = {"cvae": "negative_elbo", "G": "roll_distance", "D": "roll_distance"}
    averaged = ("cvae", "G")

    def phases_of(self, options: RollTrainingOptions) -> list[RollPhase]:
        phases = zip(options.seq_lens, options.epochs, strict=True)
        return [RollPhase(f"T={seq_len}", epochs, seq_len) for seq_len, epochs in phases]

    def open(self) -> None:
        super().open()
        self.pretrained, self.initial_log = {}, []
        for name, kind in KINDS.items():
            earlier = pretrained_file(kind)
            if self.options.init_from:
                path = hybrid_path(self.options.init_from, name, self.options.seq_lens[0])
                model, lines = self.load_initial(path.name, kind)
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
                log.append(carry(name, earlier[name], models[name]))
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

    def elbo_terms(self, batch: Batch, noise: Tensor, most_notes: Tensor) -> ElboTerms:
        """The reconstruction error and KL(q || p) of each window, with z drawn by `noise`.

        `most_notes`: of `Draw`.
        """
        options = self.options
        objective = options.reconstruction, options.free_nats
        return elbo_terms(self.models["cvae"], batch, noise, *objective, self.batch_mean, most_notes)

    def gradient_share(self, z: Tensor, z_of_generator: Tensor) -> GradientShare:
        """The share of L_G in the gradient on z, to be read after the backward pass."""
        return GradientShare(z, z_of_generator, self.gradient_norm)

    @torch.no_grad()
    def critic_windows(self, draw: Draw) -> Iterator[Encoded]:
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
        objective = self.options.reconstruction, self.options.beta
        return {
            **validate_cvae(models["cvae"], self.val_windows, *objective, self.ranks),
            **validate_generator(models["G"], self.val_windows, self.ranks),
        }

    def weights_file(self, model: str, phase: Phase, which: str) -> str:
        return hybrid_file(model, phase.seq_len, which)
