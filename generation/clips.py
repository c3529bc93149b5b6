"""Clips and longer pieces of chosen genres."""

import numpy as np
import pandas as pd

from common.genres import choose_genres, genre_file_names
from data.pianoroll import roll_notes
from evaluation.tables import LABEL, Column, format_table
from figures.roll_sheet import RollPanel
from generation.music import Music, Options, open_source

SHEET_CLIPS = 8  # of each genre
CLIP_COLUMNS = (
    Column("genre", "{condition}", LABEL),
    Column("clips", "clips"),
    Column("empty", "empty"),
    Column("notes", "notes/clip"),
    Column("polyphony", "polyphony"),
)


def make_clips(options: Options) -> Music:
    """Clips of each genre; see `ClipSource.pieces` for clips of several windows."""
    source = open_source(options)
    trained = source.trained
    run = f"T{source.seq_len}{f'x{options.windows}' if options.windows > 1 else ''}_seed{options.seed}"
    rolls, rows, table = {}, [], []
    for genre_id in choose_genres(options.genre, trained.genres, trained.condition):
        genre, file_name = trained.genres[genre_id], genre_file_names(trained.genres)[genre_id]
        clips = source.pieces(genre_id, options.count, options.windows, options.correlation)
        rolls |= {f"{file_name}_{run}_{number:03d}": clip for number, clip in enumerate(clips)}
        rows.append([RollPanel(f"{genre} {number:03d}", clip) for number, clip in enumerate(clips[:SHEET_CLIPS])])
        table.append(
            {
                "genre": genre,
                "clips": options.count,
                "empty": sum(not clip.any() for clip in clips),
                "notes": float(np.mean([len(roll_notes(clip).pitch) for clip in clips])),
                "polyphony": float(np.mean([clip.sum(axis=0).mean() for clip in clips])),
            }
        )
    print(format_table(pd.DataFrame(table).assign(condition=trained.condition), CLIP_COLUMNS))
    print("polyphony: sounding keys, mean over all frames; empty clips count in both means")
    shown = f", the first {SHEET_CLIPS} of {options.count} clips" if options.count > SHEET_CLIPS else ""
    title = f"{trained.path.name}, seed {options.seed}, threshold {options.threshold:g}{shown}"
    return Music(trained, rolls, f"sheet_{run}", rows, title)
