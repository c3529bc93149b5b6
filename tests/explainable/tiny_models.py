"""Models of the study for tests: small ones with random weights on disk, and ones with known controls."""

from pathlib import Path

import torch
from torch import Tensor, nn

from common.files import save_plain
from explainable.attributes import ATTRIBUTES, NOTE_DENSITY, NOTE_RANGE
from explainable.measures import MeasureSet
from explainable.tokens import MEASURE
from explainable.trained import TrainedVAE
from models.base import StudyVAE
from models.checkpoint import weights_content
from models.study.adversarial_vae import AdversarialVAE
from models.study.measure_vae import MeasureVAE

LATENT = 5


def facts(measures: MeasureSet | None, names: tuple[str, ...]) -> dict[str, object]:
    n = len(names)
    return {
        "attributes": list(names), "form": MEASURE.as_plain(), "data": measures.name if measures else "tiny",
        "measures_content": measures.content_hash if measures else "",
        "attribute_mean": [0.25] * n, "attribute_deviation": [0.5] * n,
    }  # fmt: skip


def save_measure_vae(path: Path, measures: MeasureSet | None = None, names: tuple[str, ...] = ATTRIBUTES) -> Path:
    torch.manual_seed(0)
    model = MeasureVAE(MEASURE.size, LATENT, hidden=8, relu_logits=False)
    return _save(path, model, 8, (model.output, model.beat_start, model.tick_start, model.tick_input), measures, names)


def save_adversarial_vae(path: Path, measures: MeasureSet | None = None, names: tuple[str, ...] = ATTRIBUTES) -> Path:
    torch.manual_seed(0)
    model = AdversarialVAE(MEASURE.size, len(names), MEASURE.hold, LATENT, hidden=8)
    return _save(path, model, 20, (model.output, model.first_state), measures, names)


def _save(
    path: Path, model: nn.Module, factor: float, layers: tuple[nn.Linear, ...], measures: MeasureSet | None,
    names: tuple[str, ...],
) -> Path:  # fmt: skip
    """Layers are scaled, so that the logits are far apart and some tokens are notes."""
    with torch.no_grad():
        for layer in layers:
            layer.weight.mul_(factor)
    save_plain(weights_content(model, facts(measures, names)), path)
    return path


def decoded(onsets: Tensor, jump: Tensor) -> Tensor:
    """Measures with onsets on the first ticks; every second one is `jump` semitones above the lowest pitch."""
    tick = torch.arange(MEASURE.length)
    pitch = torch.where(tick % 2 == 1, jump.round().clamp(0, MEASURE.rest - 1)[:, None], 0).long()
    return torch.where(tick < onsets.round()[:, None], pitch, MEASURE.hold)


class LatentControls(StudyVAE):
    """Dimension 0 of z determines the density, dimension 1 the range; `z` is that of the last call."""

    latent = 3

    def __init__(self) -> None:
        super().__init__()
        self.network = MeasureVAE.network  # of the object: a class would be a second network of this name

    def decode_free(self, z: Tensor) -> tuple[Tensor, Tensor]:
        self.z = z
        return z, decoded(12 + 3 * z[:, 0], 13 + 4 * z[:, 1])


class InputControls(StudyVAE):
    """The decoder's inputs, standardised, are the density and the range."""

    latent, controls_in_latent = 3, False

    def __init__(self) -> None:
        super().__init__()
        self.network = AdversarialVAE.network

    def decode_free(self, z: Tensor, inputs: Tensor, n_steps: int) -> tuple[Tensor, Tensor]:
        values = 0.25 + 0.5 * inputs
        return z, decoded(24 * values[:, 0], 26 * values[:, 1])


def trained(model: nn.Module) -> TrainedVAE:
    names = NOTE_DENSITY, NOTE_RANGE
    return TrainedVAE(Path("run/vae_best.pth"), model, MEASURE, list(names), facts(None, names))
