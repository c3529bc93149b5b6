"""Presets of the three roll stages: a row for each option, a column for each stage.

`___`: the stage has no such option, or keeps its default. Preset paper is the defaults, the published recipe.
"""

from pathlib import Path
from typing import Any

from models.names import FOLDERS

CVAE, CGAN, HYBRID = range(3)
___ = None
_WEIGHTS, _RUNS = Path(FOLDERS["large"]), Path("runs/large")

# fmt: off
_LARGE = {
    # option                  CVAE         cGAN         hybrid
    "checkpoints":           (_WEIGHTS,    _WEIGHTS,    _WEIGHTS),
    "runs":                  (_RUNS,       _RUNS,       _RUNS),
    "architecture":          ("large",     "large",     "large"),
    "seq_len":               (128,         ___,         ___),
    "epochs":                (20,          2,           (1, 1, 4)),
    "batch_size":            (64,          64,          64),
    "transpose":             (True,        True,        True),
    "move_windows":          (True,        True,        True),
    "balance":               ("sampler",   "sampler",   "sampler"),
    "schedule":              ("cosine",    "cosine",    "cosine"),
    "warm_up":               (200,         100,         100),
    "ema":                   (0.999,       0.995,       0.999),
    "clip_norm":             (1.0,         ___,         1.0),
    "learning_rate":         (1.5e-3,      5e-4,        ___),
    "optimizer":             ("muon",      ___,         "muon"),
    "cvae_learning_rate":    (___,         ___,         7e-4),
    "matrix_learning_rate":  (___,         ___,         1e-2),
    "dropout":               (0.1,         ___,         0.1),
    "beta":                  (1.0,         ___,         1.0),
    "free_nats":             (6.0,         ___,         6.0),
    "reconstruction":        (___,         ___,         "nll"),
    "gan_learning_rate":     (___,         ___,         5e-4),
    "critic_learning_rate":  (___,         1e-3,        1e-3),
    "gan_betas":             (___,         (0.0, 0.9),  (0.0, 0.9)),
    "critic_steps":          (___,         2,           2),
    "critic_takes_z":        (___,         True,        True),
    "drift":                 (___,         1e-3,        1e-3),
    "prior_share":           (___,         0.5,         0.5),
}
_LARGE_DEMO = _LARGE | {
    "hidden":                (64,          64,          64),
    "depth":                 (2,           ___,         ___),
    "epochs":                (3,           2,           (1, 1, 1)),
    "epoch_windows":         (___,         3000,        2000),
    "warm_up":               (20,          20,          20),
    "ema":                   (0.99,        0.99,        0.99),
    "learning_rate":         (1.5e-3,      1e-3,        ___),
    "critic_learning_rate":  (___,         2e-3,        1e-3),
}
_PAPER_512 = {  # as wide as the published code's stage 3
    "architecture":          (___,         "paper-512", "paper-512"),
}
_DEMO = {
    "epochs":                (6,           2,           (1, 1, 1)),
    "batch_size":            (64,          64,          64),
    "learning_rate":         (2e-3,        1e-3,        ___),
    "cvae_learning_rate":    (___,         ___,         1e-3),
    "gan_learning_rate":     (___,         ___,         1e-3),
}
_SMOKE = {
    "epochs":                (1,           1,           (1, 1, 1)),
    "batch_size":            (64,          64,          64),
    "critic_steps":          (___,         2,           2),
}
# fmt: on


def presets_of(stage: int) -> dict[str, dict[str, Any]]:
    """The presets of a stage, CVAE, CGAN or HYBRID: name -> options that it changes."""
    tables = {
        "paper": {}, "paper-512": _PAPER_512, "large": _LARGE, "large-demo": _LARGE_DEMO, "demo": _DEMO, "smoke": _SMOKE
    }  # fmt: skip
    return {
        name: {option: values[stage] for option, values in table.items() if values[stage] is not ___}
        for name, table in tables.items()
    }
