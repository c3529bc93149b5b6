"""Clips and longer pieces of a generator."""

import numpy as np
import pandas as pd
from torch import Tensor, nn

from common.genres import choose_genres, genre_file_names
from data.pianoroll import roll_notes
from evaluation.samples.sampling import play_latents, play_through, sample_prior, walk_noise
from evaluation.tables import LABEL, Column, format_table
from figures.roll_sheet import RollPanel
from generation.music import Music, Options, join, load_player, performance
from models.trained import Trained

SHEET_CLIPS = 8  # of each genre
CLIP_COLUMNS = (
    Column("genre", "{condition}", LABEL),
    Column("clips", "clips"),
    Column("empty", "empty"),
    Column("notes", "notes/clip"),
    Column("polyphony", "polyphony"),
)


def make_clips(options: Options) -> Music:
    """Clips of G, or of the CVAE's decoder, with z from its prior.

    Where z grows with the clip, a clip of several windows is one piece. Otherwise its windows follow a walk
    (`evaluation.samples.sampling.walk_noise`): with a z of its own, each would be music unrelated to the one before. In
    the walk neighbours are alike, and each window is still a sample of the model like any other.
    """
    trained = load_player(options)
    model, seq_len = trained.model, trained.seq_len
    genre_ids = choose_genres(options.genre, trained.genres, trained.condition)
    noise = _noise(options, model, seq_len)
    run = f"T{seq_len}{f'x{options.windows}' if options.windows > 1 else ''}_seed{options.seed}"
    rolls, rows, table = {}, [], []
    for genre_id in genre_ids:
        genre, file_name = trained.genres[genre_id], genre_file_names(trained.genres)[genre_id]
        clips = _play(options, trained, noise, genre_id)
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


def _noise(options: Options, model: nn.Module, seq_len: int) -> Tensor:
    """Standard normal noise of each clip and window, float64 (count, windows, size)."""
    how = 0, options.count, options.windows, model.noise_size(seq_len), options.seed
    return walk_noise(*how, 0.0 if model.any_length else options.correlation)


def _play(options: Options, trained: Trained, noise: Tensor, genre_id: int) -> list[np.ndarray]:
    """Clips of a genre, bool (128, windows * T) each."""
    model, seq_len = trained.model, trained.seq_len
    z = noise.flatten(1) if model.any_length else noise.flatten(0, 1)
    genre_ids = [genre_id] * len(z)
    if options.prior:
        z = sample_prior(model, z, genre_ids)
    chances = [("notes", options.seed, sample) for sample in range(len(z))]
    if model.any_length:
        n_frames = options.windows * seq_len
        clips = play_through(model, z, genre_ids, n_frames, performance(options), chances).numpy()
        return [join(options, [clip]) for clip in clips]
    windows = play_latents(model, z, genre_ids, seq_len, performance(options), chances).numpy()
    return [join(options, parts) for parts in np.split(windows, options.count)]
