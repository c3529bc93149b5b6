"""What generate.py makes of one file by redrawing parts of it: infills and variations."""

import copy

import numpy as np
import torch

from common.errors import UserError
from common.genres import choose_one_genre
from common.text import short_name
from data.pianoroll import drop_short_notes
from data.song_windows import read_song_roll, whole_seconds
from evaluation.statistics.features import count, f1, onsets
from figures.roll_sheet import RollPanel
from generation.infilling import CONTEXT, Redrawing, frames, vary
from generation.music import Load, Music, load_note_decoder, performance_of, run_name
from generation.options import Options
from models.base import FRAMES_A_SECOND
from models.trained import Trained, load


def infill_file(options: Options, load: Load = load) -> Music:
    """A file, and versions in which the seconds of `span` are redrawn; all other frames stay as they are.

    The remark says how many versions have no note there. Raises `UserError` if the span is not in the file, and as
    `load_note_decoder`.
    """
    trained, redrawing = _open(options, "--infill", load)
    song, (first, end) = whole_seconds(read_song_roll(options.infill, trained.frames_per_second)), options.span
    n_seconds = song.shape[1] // FRAMES_A_SECOND
    if end > n_seconds:
        raise UserError(f"{options.infill}: has {n_seconds} seconds; the span must end at {n_seconds} or before")
    left, right = max(0, first - CONTEXT), min(n_seconds, end + CONTEXT)
    near = frames(torch.from_numpy(song)[None], left, right).expand(options.count, -1, -1)
    span = first - left, end - left
    near = redrawing.redraw(near, span, redrawing.latents_between(near, span)).numpy()
    place = slice(span[0] * FRAMES_A_SECOND, span[1] * FRAMES_A_SECOND)
    near[:, :, place] = drop_short_notes(near[:, :, place], options.min_note_frames)
    n_empty = sum(not roll.any() for roll in near[:, :, place])
    remarks = (f"{n_empty} of the {options.count} infills have no note",) if n_empty else ()
    name, run = short_name(options.infill.stem), _run(options, trained, redrawing)
    ends = song[:, : left * FRAMES_A_SECOND], song[:, right * FRAMES_A_SECOND :]
    rolls = {
        f"{name}_infilled_{first}-{end}_{run}_{number:03d}": np.concatenate([ends[0], roll, ends[1]], axis=1)
        for number, roll in enumerate(near)
    }
    original = RollPanel("original", frames(torch.from_numpy(song)[None], left, right)[0].numpy())
    rows = [[original], *([RollPanel(f"{number:03d}", roll)] for number, roll in enumerate(near))]
    title = f"{name}, from second {left}\nseconds {first} to {end} redrawn as {trained.genres[redrawing.genre_id]}"
    title += f", {trained.path.name}"
    return Music(trained, rolls, f"{name}_infilled_{first}-{end}_{run}_sheet", rows, title, remarks)


def vary_file(options: Options, load: Load = load) -> Music:
    """Variations of a file by `amount`; the remark says how many of its onsets they change.

    Raises as `load_note_decoder`.
    """
    trained, redrawing = _open(options, "--vary", load)
    song = torch.from_numpy(whole_seconds(read_song_roll(options.vary, trained.frames_per_second)))
    pieces = vary(redrawing, song, options.amount, options.count).numpy()
    kept = (pieces == song.numpy()).all(axis=1, keepdims=True)  # frames in which nothing changed
    pieces = np.where(kept, pieces, drop_short_notes(pieces, options.min_note_frames))
    name, run = short_name(options.vary.stem), _run(options, trained, redrawing)
    rolls = {f"{name}_varied_{options.amount:g}_{run}_{number:03d}": roll for number, roll in enumerate(pieces)}
    change = changed_onsets(torch.from_numpy(pieces), song.expand(len(pieces), -1, -1))
    remark = f"{change:.1%} of the onsets changed (1 - onset F1)"
    rows = [[RollPanel("original", song.numpy())]]
    rows += [[RollPanel(f"{number:03d}", roll)] for number, roll in enumerate(pieces)]
    title = f"{name}\nvaried by {options.amount:g} as {trained.genres[redrawing.genre_id]}, {trained.path.name}"
    return Music(trained, rolls, f"{name}_varied_{options.amount:g}_{run}_sheet", rows, title, (remark,))


def changed_onsets(changed: torch.Tensor, original: torch.Tensor) -> float:
    """1 - F1 of the onsets, by pitch and frame, of bool rolls (n, 128, T): 0 if all are the original's."""
    return 1 - f1(*(float(part.sum()) for part in count(onsets(changed), onsets(original))))


def _open(options: Options, flag: str, load: Load) -> tuple[Trained, Redrawing]:
    trained = load_note_decoder(options, flag, load)
    genre_id = choose_one_genre(options.genre, trained.genres, trained.condition)
    model = copy.deepcopy(trained.model).double() if options.exact else trained.model
    return trained, Redrawing(model, genre_id, options.draws, performance_of(options), options.seed)


def _run(options: Options, trained: Trained, redrawing: Redrawing) -> str:
    return f"{run_name(options, trained, redrawing.genre_id)}_draws{options.draws}"
