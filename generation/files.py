"""The music that options ask for, and its sheet as a file: what generate.py and the page of app.py share."""

from pathlib import Path

from figures.roll_sheet import save_roll_sheet
from generation.changes import infill_file, vary_file
from generation.music import Load, Music, continue_file, interpolate_files, make_clips, reconstruct
from generation.options import Options
from models.trained import load


def make_music(options: Options, load: Load = load) -> Music:
    """New clips, or music from the file that the options name.

    Raises `UserError` or `CheckpointError` for unusable files, options or weights.
    """
    of_files = (
        (options.reconstruct, reconstruct), (options.continue_file, continue_file),
        (options.interpolate, interpolate_files), (options.infill, infill_file), (options.vary, vary_file),
    )  # fmt: skip
    return next((make for given, make in of_files if given), make_clips)(options, load)


def write_sheet(folder: Path, music: Music) -> Path:
    """Write the picture of the rolls, and return its path."""
    path, trained = folder / f"{music.sheet}.png", music.trained
    save_roll_sheet(
        path, music.rows, title=music.title, frames_per_second=trained.frames_per_second, window_frames=trained.seq_len
    )
    return path
