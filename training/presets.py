"""Presets of the three roll stages: a row for each option, a column for each stage.

`___`: the stage has no such option, or keeps its default. Preset paper is the defaults, the published recipe.
"""

from pathlib import Path
from typing import Any

from models import LARGE, PAPER_512
from models.losses import NLL
from models.weight_files import FOLDERS
from training.optimizers import MUON
from training.stage import COSINE

CVAE, CGAN, HYBRID = range(3)
___ = None

# fmt: off
_LARGE = {
    # option                 stage 1: CVAE         stage 2: cGAN         stage 3: hybrid
    "checkpoints":           (Path(FOLDERS[LARGE]), Path(FOLDERS[LARGE]), Path(FOLDERS[LARGE])),
    "runs":                  (Path("runs/large"),  Path("runs/large"),   Path("runs/large")),
    "architecture":          (LARGE,               LARGE,                LARGE),
    "seq_len":               (128,                 ___,                  ___),
    "epochs":                (20,                  2,                    (1, 1, 4)),
    "batch_size":            (64,                  64,                   64),
    "transpose":             (True,                True,                 True),
    "move_windows":          (True,                True,                 True),
    "balance":               ("sampler",           "sampler",            "sampler"),
    "schedule":              (COSINE,              COSINE,               COSINE),
    "warm_up":               (200,                 100,                  100),
    "ema":                   (0.999,               0.995,                0.999),
    "clip_norm":             (1.0,                 ___,                  1.0),
    "learning_rate":         (1.5e-3,              5e-4,                 ___),
    "optimizer":             (MUON,                ___,                  MUON),
    "cvae_learning_rate":    (___,                 ___,                  7e-4),
    "matrix_learning_rate":  (___,                 ___,                  1e-2),
    "dropout":               (0.1,                 ___,                  0.1),
    "beta":                  (1.0,                 ___,                  1.0),
    "free_nats":             (6.0,                 ___,                  6.0),
    "reconstruction":        (___,                 ___,                  NLL),
    "gan_learning_rate":     (___,                 ___,                  5e-4),
    "critic_learning_rate":  (___,                 1e-3,                 1e-3),
    "gan_betas":             (___,                 (0.0, 0.9),           (0.0, 0.9)),
    "critic_steps":          (___,                 2,                    2),
    "critic_hears_z":        (___,                 True,                 True),
    "drift":                 (___,                 1e-3,                 1e-3),
    "prior_share":           (___,                 0.5,                  0.5),
}
_LARGE_DEMO = _LARGE | {
    "hidden":                (64,                  64,                   64),
    "depth":                 (2,                   ___,                  ___),
    "epochs":                (6,                   4,                    (1, 1, 2)),
    "warm_up":               (20,                  20,                   20),
    "ema":                   (0.99,                0.99,                 0.99),
    "learning_rate":         (1.5e-3,              1e-3,                 ___),
    "critic_learning_rate":  (___,                 2e-3,                 1e-3),
}
_DEMO = {
    "epochs":                (15,                  4,                    (2, 2, 3)),
    "batch_size":            (64,                  64,                   64),
    "learning_rate":         (2e-3,                1e-3,                 ___),
    "cvae_learning_rate":    (___,                 ___,                  1e-3),
    "gan_learning_rate":     (___,                 ___,                  1e-3),
}
_SMOKE = {
    "epochs":                (1,                   1,                    (1, 1, 1)),
    "batch_size":            (64,                  64,                   64),
    "critic_steps":          (___,                 2,                    2),
}
_PRESETS = {
    "paper":                 {},
    "paper-512":             {"architecture": (___, PAPER_512, PAPER_512)},  # as wide as the published code's stage 3
    "large":                 _LARGE,
    "large-demo":            _LARGE_DEMO,
    "demo":                  _DEMO,
    "smoke":                 _SMOKE,
}
# fmt: on


def presets_of(stage: int) -> dict[str, dict[str, Any]]:
    """The presets of a stage, CVAE, CGAN or HYBRID: name -> options that it changes."""
    return {
        name: {option: values[stage] for option, values in table.items() if values[stage] is not ___}
        for name, table in _PRESETS.items()
    }
