"""Synthesisers, embedders, and the options of programs that write sound."""

from dataclasses import dataclass
from pathlib import Path

from common.options import CheckedOptions, option

SYNTHS = ("fluidsynth", "tinysoundfont")
EMBEDDERS = ("ast", "MTT_musicnn", "MSD_musicnn")


@dataclass(frozen=True)
class SoundFileOptions(CheckedOptions):
    """Files."""

    output: Path = option(Path("samples"), "folder to write to")
    wav: bool = option(False, "also write each MIDI file as a WAV file")
    synth: str = option("fluidsynth", "synthesiser for --wav", choices=SYNTHS)
    soundfont: Path | None = option(None, "SoundFont (.sf2) for --wav (default: the one that pretty_midi ships)")
