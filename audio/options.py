"""Synthesisers, embedders, and the options of programs that write sound."""

from dataclasses import dataclass
from pathlib import Path

from common.options import CheckedOptions, option

SYNTHS = ("fluidsynth", "tinysoundfont")
EMBEDDERS = ("ast", "MTT_musicnn", "MSD_musicnn")


@dataclass(frozen=True)
class SynthOptions(CheckedOptions):
    """Sound."""

    synth: str = option("fluidsynth", "synthesiser", choices=SYNTHS)
    soundfont: Path | None = option(None, "SoundFont (.sf2; default: the one that pretty_midi ships)")


@dataclass(frozen=True)
class SoundFileOptions(SynthOptions):
    """Files."""

    output: Path = option(Path("samples"), "folder to write to")
    wav: bool = option(False, "also write each MIDI file as a WAV file")
