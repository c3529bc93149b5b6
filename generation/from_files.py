"""What the models make of MIDI files: a file through the CVAE and back, and a path from one file to another."""

import numpy as np
import torch

from common.errors import UserError
from common.genres import choose_one_genre
from common.text import short_name
from data.song_windows import read_song_windows
from evaluation.measures.reconstruction import count, f1
from evaluation.samples.sampling import interpolate
from generation.music import Music, Options, decode, join, load_cvae, load_player
from page.figures.roll_sheet import RollPanel


@torch.no_grad()
def reconstruct(options: Options) -> Music:
    """Every window of a file through the CVAE: posterior mean, and a decoder that runs on its own output."""
    trained = load_cvae(options, options.seq_len)
    genre_id = choose_one_genre(options.genre, trained.genres, trained.condition)
    name, seq_len = short_name(options.reconstruct.stem), trained.seq_len
    rate = trained.frames_per_second
    batch, n_frames = read_song_windows(options.reconstruct, seq_len, genre_id, frames_per_second=rate)
    decoded = decode(options, trained, trained.model.encode(*batch).mean, genre_id)
    original = np.concatenate(list(batch.roll.numpy() > 0), axis=1)[:, :n_frames]
    reconstructed = join(options, decoded)[:, :n_frames]
    counts = count(*(torch.from_numpy(roll)[None] for roll in (reconstructed, original)))
    told = f"frame F1 {f1(*map(float, counts)):.3f}"
    print(f"{told} over {n_frames} frames in {len(decoded)} windows")
    rolls = {f"{name}_original": original, f"{name}_reconstructed": reconstructed}
    rows = [[RollPanel(each.removeprefix(f"{name}_"), roll)] for each, roll in rolls.items()]
    title = f"{name} as {trained.genres[genre_id]}, {trained.path.name}: {told}"
    return Music(trained, rolls, f"{name}_T{seq_len}_sheet", rows, title)


@torch.no_grad()
def interpolate_files(options: Options) -> Music:
    """From the first window that sounds of one file to that of another, along an arc of latents.

    Both models play every latent: G, because it was trained on the encoder's latents and makes the clips; the CVAE's
    decoder, because it alone was trained to give the two windows back at the ends.
    """
    trained = load_player(options)
    seq_len = trained.seq_len
    encoder = load_cvae(options, seq_len)
    if (encoder.genres, encoder.model.noise_size(seq_len)) != (trained.genres, trained.model.noise_size(seq_len)):
        raise UserError(f"{encoder.path}, {trained.path}: differ in genres or latents; name weights of one training")
    genre_id = choose_one_genre(options.genre, trained.genres, trained.condition)
    ends, originals = [], []
    for name, path in zip("AB", options.interpolate, strict=True):
        batch, _ = read_song_windows(path, seq_len, genre_id, frames_per_second=encoder.frames_per_second)
        first = int(batch.roll.amax((1, 2)).argmax())
        ends.append(encoder.model.encode(*batch).mean[first])
        originals.append(RollPanel(name, batch.roll[first].numpy() > 0))
    z = interpolate(*ends, options.steps)
    played = {
        "G": decode(options, trained, z, genre_id),
        "cvae": decode(options, encoder, z, genre_id),
    }
    played = {name: [join(options, [roll]) for roll in steps] for name, steps in played.items()}
    name_a, name_b = (short_name(path.stem) for path in options.interpolate)
    stem = f"{name_a}_to_{name_b}_T{seq_len}"
    rolls = {f"{stem}_{name}_{step:03d}": roll for name, steps in played.items() for step, roll in enumerate(steps)}
    rows = [[originals[0], *[None] * (options.steps - 2), originals[1]]]
    rows += [[RollPanel(f"{name} {step:03d}", roll) for step, roll in enumerate(s)] for name, s in played.items()]
    title = f"A {name_a}\nB {name_b}\nas {trained.genres[genre_id]}, {trained.path.name}, {encoder.path.name}"
    return Music(trained, rolls, f"{stem}_sheet", rows, title)
