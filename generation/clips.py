"""Clips and longer pieces of a generator."""

import numpy as np
import pandas as pd

from common.genres import choose_genres, genre_file_names
from data.pianoroll import roll_notes
from evaluation.samples.sampling import play_latents, sample_prior, walk_noise
from evaluation.tables import LABEL, Column, format_table
from generation.music import Music, Options, join, load_player, performance
from page.figures.roll_sheet import RollPanel

SHEET_CLIPS = 8  # of each genre
CLIP_COLUMNS = (
    Column("genre", "{condition}", LABEL),
    Column("clips", "clips"),
    Column("empty", "empty"),
    Column("notes", "notes/clip"),
    Column("polyphony", "polyphony"),
)


def make_clips(options: Options) -> Music:
    """Clips of G with z from its prior. The windows of a clip follow a walk (`evaluation.samples.sampling.walk_noise`).

    With a z of its own, each window would be music unrelated to the one before. In the walk neighbours are alike, and
    each window is still a sample of the model like any other.
    """
    trained = load_player(options)
    model, seq_len = trained.model, trained.seq_len
    genre_ids = choose_genres(options.genre, trained.genres, trained.condition)
    size = model.noise_size(seq_len)
    noise = walk_noise(0, options.count, options.windows, size, options.seed, options.correlation)
    run = f"T{seq_len}{f'x{options.windows}' if options.windows > 1 else ''}_seed{options.seed}"
    chances = [("notes", options.seed, sample) for sample in range(options.count * options.windows)]
    rolls, rows, table = {}, [], []
    for genre_id in genre_ids:
        genre, file_name = trained.genres[genre_id], genre_file_names(trained.genres)[genre_id]
        places = [genre_id] * options.count * options.windows
        z = sample_prior(model, noise.flatten(0, 1), places) if options.prior else noise.flatten(0, 1)
        windows = play_latents(model, z, places, seq_len, performance(options), chances).numpy()
        clips = [join(options, parts) for parts in np.split(windows, options.count)]
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
    print(format_table(pd.DataFrame(table), CLIP_COLUMNS, trained.condition))
    print("polyphony: keys that sound at once, mean over all frames; both means count empty clips")
    shown = f", the first {SHEET_CLIPS} of {options.count} clips" if options.count > SHEET_CLIPS else ""
    title = f"{trained.path.name}, seed {options.seed}, threshold {options.threshold:g}{shown}"
    return Music(trained, rolls, f"sheet_{run}", rows, title)
