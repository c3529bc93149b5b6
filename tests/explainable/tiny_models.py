"""Models of the study for tests: small ones with random weights on disk, and ones that do what they are told."""

from pathlib import Path

import torch
from torch import Tensor, nn

from common.files import save_plain
from explainable.attributes import ATTRIBUTES, NOTE_DENSITY, NOTE_RANGE
from explainable.measures import MeasureSet
from explainable.tokens import MEASURE, TokenForm
from explainable.trained import TrainedVAE
from models.base import StudyVAE
from models.checkpoint import weights_content
from models.study.adversarial_vae import AdversarialVAE
from models.study.measure_vae import MeasureVAE

LATENT = 5


def measure_vae(form: TokenForm = MEASURE) -> MeasureVAE:
    """With logits far apart, so that it decodes notes."""
    torch.manual_seed(0)
    model = MeasureVAE(
        form.size, LATENT, hidden=8, beats=4 * form.measures, ticks=len(form.ticks), relu_logits=False
    )  # fmt: skip
    with torch.no_grad():
        for weights in (model.output.weight, model.beat_start.weight, model.tick_start.weight, model.tick_input.weight):
            weights.mul_(8)
    return model.eval()


def adversarial_vae(n_attributes: int, form: TokenForm = MEASURE) -> AdversarialVAE:
    torch.manual_seed(0)
    model = AdversarialVAE(form.size, n_attributes, form.hold, LATENT, hidden=8)
    with torch.no_grad():
        for weights in (model.output.weight, model.first_state.weight):
            weights.mul_(20)
    return model.eval()


def facts(measures: MeasureSet | None, names: tuple[str, ...], form: TokenForm = MEASURE) -> dict[str, object]:
    n = len(names)
    return {
        "attributes": list(names), "form": form.as_plain(), "data": measures.name if measures else "tiny",
        "measures_content": measures.content_hash if measures else "",
        "attribute_mean": [0.25] * n, "attribute_deviation": [0.5] * n,
    }  # fmt: skip


def save_measure_vae(path: Path, measures: MeasureSet | None = None, names: tuple[str, ...] = ATTRIBUTES) -> Path:
    save_plain(weights_content(measure_vae(), facts(measures, names)), path)
    return path


def save_adversarial_vae(path: Path, measures: MeasureSet | None = None, names: tuple[str, ...] = ATTRIBUTES) -> Path:
    save_plain(weights_content(adversarial_vae(len(names)), facts(measures, names)), path)
    return path


def played(onsets: Tensor, jump: Tensor) -> Tensor:
    """Measures of so many onsets from the first tick on, every second one so many semitones above the lowest pitch."""
    tick = torch.arange(MEASURE.length)
    pitch = torch.where(tick % 2 == 1, jump.round().clamp(0, MEASURE.rest - 1)[:, None], 0).long()
    return torch.where(tick < onsets.round()[:, None], pitch, MEASURE.hold)


class Obedient(StudyVAE):
    """Dimension 0 of z decides the onsets, 12 and 3 more for each unit, dimension 1 the range; keeps the last z."""

    network, latent = MeasureVAE.network, 3

    def decode_free(self, z: Tensor) -> tuple[Tensor, Tensor]:
        self.z = z
        return z, played(12 + 3 * z[:, 0], 13 + 4 * z[:, 1])


class Told(StudyVAE):
    """Plays the density and range that it is told, standardised."""

    network, latent, controls_in_latent = AdversarialVAE.network, 3, False

    def decode_free(self, z: Tensor, told: Tensor, n_steps: int) -> tuple[Tensor, Tensor]:
        told = 0.25 + 0.5 * told
        return z, played(24 * told[:, 0], 26 * told[:, 1])


def obedient(model: nn.Module) -> TrainedVAE:
    names = NOTE_DENSITY, NOTE_RANGE
    return TrainedVAE(Path("run/vae_best.pth"), model, MEASURE, list(names), facts(None, names))
