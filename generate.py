"""Generate music with the trained models: MIDI files, their sound, and a sheet of their piano rolls.

    python generate.py                                              # 8 clips of every genre, by the CVAE's decoder
    python generate.py --genre jazz,rock --count 20 --seed 1
    python generate.py --genre jazz --windows 4 --wav               # longer pieces, each also as a WAV file
    python generate.py --source generator --genre jazz              # by the generator
    python generate.py --reconstruct song.mid --genre jazz          # a file through the CVAE and back
    python generate.py --continue song.mid --genre jazz --windows 2 # how it could go on (preset large)
    python generate.py --infill song.mid --span 8 16 --genre jazz   # other notes from second 8 to 16 (preset large)
    python generate.py --vary song.mid --amount .3 --genre jazz     # a changed file (preset large)
    python generate.py --interpolate a.mid b.mid --genre jazz       # from one piece to another, by both networks

Clip k of a seed does not depend on --count, --batch-size or the other genres. It has the same latent in every genre: a
column of the sheet shows the effect of the genre. Empty clips are counted and written as MIDI files without notes.
"""

from pathlib import Path

from common.errors import run_command
from common.options import parse_options
from common.torchrun import run_divided
from generation.options import Options
from models.errors import CheckpointError


def generate(options: Options) -> list[Path]:
    """Generate as the options say; returns the files written, the sheet last.

    Raises `UserError` or `CheckpointError` for unusable files or options.
    """
    from audio.files import open_file_renderer, write_roll_files
    from generation.files import make_music, write_sheet

    renderer = open_file_renderer(options)
    music = make_music(options)
    if music.remarks:
        print(*music.remarks, sep="\n")
    rolls = music.rolls
    files = write_roll_files(options.output, rolls, music.trained.frames_per_second, renderer)
    path = write_sheet(options.output, music)
    n_empty = sum(not roll.any() for roll in rolls.values())
    if n_empty:
        print(f"{n_empty} of the {len(rolls)} MIDI files have no notes, because nothing sounds there")
    kinds = "MIDI files, each with a WAV file" if options.wav else "MIDI files"
    print(f"{options.output}: {len(rolls)} {kinds}, and {path.name} shows them")
    return [*files, path]


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: generate(parse_options(Options, __doc__))), CheckpointError)
