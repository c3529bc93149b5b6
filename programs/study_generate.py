"""Generate melodies with given attributes, or change those of a melody: MIDI files, sound, and a picture.

    python -m programs.study_generate --set note_density=0.4 rhythmic_complexity=0.2 --count 8
    python -m programs.study_generate --set note_density=0.5 --measures 4 --wav     # melodies of four measures
    python -m programs.study_generate --from tune.mid --set note_density=+0.1,note_range=0.3
    python -m programs.study_generate --weights checkpoints/explainable/irish_folk/RUN/vae_best.pth

Attributes: rhythmic_complexity and note_density (0 to 1), note_range (semitones / 26), average_interval_jump
(semitones). With --from, the measures of a melody (ABC, MIDI, MusicXML) are encoded, changed and decoded; =+0.1 and
=-0.1 change a value by this difference. A model may miss the targets: the table shows what was reached. File names have
the model and the targets, as in irish_folk_attribute_vae_seed0_density0.4_complexity0.2_000.mid.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from common.errors import run_command
from common.options import parse_options
from explainable.options import MelodyOptions
from models.errors import CheckpointError


def generate(options: MelodyOptions) -> list[Path]:
    """Write melodies and a picture, and print what was reached; returns the files written, the picture last.

    Raises `UserError` or `CheckpointError` for unusable weights, files or options.
    """
    from explainable.melody_generation import generate_melodies

    return generate_melodies(options)


def read_options(arguments: Sequence[str] | None = None) -> MelodyOptions:
    """The options of a command line; the items of --set may be separated by commas or spaces."""
    words: list[str] = []
    for word in sys.argv[1:] if arguments is None else arguments:
        if "=" in word and not word.startswith("-") and words[-2:-1] == ["--set"]:
            words[-1] += f",{word}"
        else:
            words.append(word)
    return parse_options(MelodyOptions, __doc__ or "", words)


if __name__ == "__main__":
    run_command(lambda: generate(read_options()), CheckpointError)
