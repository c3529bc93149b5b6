"""The options of the page."""

from dataclasses import dataclass
from pathlib import Path

from audio.options import SYNTHS
from common.options import option
from evaluation.options import ClipOptions


@dataclass(frozen=True)
class ReportOptions(ClipOptions):
    """Clips and results on the page."""

    runs: Path = option(Path("runs"), "folder with the logs of the training stages")
    real_clips: int = option(2, "real clips of each genre and T to play", minimum=0)
    generated_clips: int = option(4, "generated clips of each genre and T to play", minimum=1)
    piece_minutes: float = option(
        3,
        "minutes of a generated piece and a real song of each genre to play; 0 leaves them out",
        minimum=0,
        maximum=60,
    )
    synth: str = option("fluidsynth", "synthesiser that plays the clips", choices=SYNTHS)
    soundfont: Path | None = option(None, "SoundFont, .sf2 (default: TimGM6mb.sf2, which pretty_midi ships)")
    workers: int = option(0, "clips to render at the same time; 0 is one a core", minimum=0, maximum=1024)
