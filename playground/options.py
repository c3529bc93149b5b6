"""Options of app.py."""

from dataclasses import dataclass
from pathlib import Path

from audio.options import SynthOptions
from common.options import option


@dataclass(frozen=True)
class Options(SynthOptions):
    """The page and its weights."""

    port: int = option(7860, "port of 127.0.0.1 to listen on", minimum=1, maximum=65_535)
    checkpoints: Path | None = option(
        None,
        "folder with hybrid_cvae_best_T128.pth and, for the generator, hybrid_G_best_T128.pth (default: that of preset "
        "large)",
    )
    study_weights: Path | None = option(
        None, "weights of the study for the sliders (default: those of your only run, or else the repository's)"
    )
    minutes: float = option(10.0, "longest MIDI file to take", above=0, maximum=60)
