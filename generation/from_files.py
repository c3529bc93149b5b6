"""What the models make of MIDI files: a file through the CVAE and back, and a path from one file to another."""

import numpy as np
import torch

from common.errors import UserError
from common.genres import choose_one_genre
from common.text import short_name
from data.song_windows import read_song_roll, read_song_windows
from evaluation.metrics.reconstruction import count, f1
from evaluation.samples.sampling import interpolate, play_through, sample_noise, sample_prior
from figures.roll_sheet import RollPanel
from generation.music import Music, Options, decode, join, load_cvae, load_player, performance
from models.base import PITCHES

_HEARD = 64  # frames of a song that its continuation begins with


@torch.no_grad()
def reconstruct(options: Options) -> Music:
    """Every window of a file through the CVAE: posterior mean, and a decoder that runs on its own output."""
    trained = load_cvae(options, options.seq_len)
    genre_id = choose_one_genre(options.genre, trained.genres, trained.condition)
    name, seq_len = short_name(options.reconstruct.stem), trained.seq_len
    rate = trained.frames_per_second
    batch, n_frames = read_song_windows(options.reconstruct, seq_len, genre_id, frames_per_second=rate)
    z = trained.model.encode(*batch).mean
    if trained.model.any_length:  # one piece, without seams between its windows
        whole, chances = z.view(1, -1), [("feedback", options.seed)]
        how = len(batch.roll) * seq_len, performance(options), chances
        decoded = play_through(trained.model, whole, [genre_id], *how).numpy()
    else:
        decoded = decode(options, trained, z, genre_id)
    original = np.concatenate(list(batch.roll.numpy() > 0), axis=1)[:, :n_frames]
    reconstructed = join(options, decoded)[:, :n_frames]
    counts = count(*(torch.from_numpy(roll)[None] for roll in (reconstructed, original)))
    told = f"frame F1 {f1(*map(float, counts)):.3f}"
    print(f"{told} over {n_frames} frames in {len(z)} windows")
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


@torch.no_grad()
def continue_file(options: Options) -> Music:
    """A file and what the CVAE's note decoder makes of its end, going on from what was played.

    The prior goes on from the latents of the last four seconds, the decoder from their notes. Raises `UserError` where
    the weights are of a decoder that cannot.
    """
    trained = load_cvae(options, options.seq_len)
    model, seq_len = trained.model, trained.seq_len
    if not model.any_length:
        raise UserError(f"{trained.path}: decodes single windows; --continue needs weights of --preset large")
    genre_id = choose_one_genre(options.genre, trained.genres, trained.condition)
    path, name = options.continue_file, short_name(options.continue_file.stem)
    song = read_song_roll(path, trained.frames_per_second)
    # The last of the song, after silence where it is shorter.
    heard = torch.zeros(1, PITCHES, _HEARD, dtype=torch.bool)
    heard[0, :, max(0, _HEARD - song.shape[1]) :] = torch.from_numpy(song[:, -_HEARD:])
    genre_ids = [genre_id] * options.count
    no_notes = torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)
    last = heard.float(), *no_notes, torch.tensor([genre_id])
    before = model.encode(*last).mean.expand(options.count, -1)
    noise = sample_noise(0, options.count, model.noise_size(options.windows * seq_len), options.seed)
    z = torch.cat([before.double(), sample_prior(model, noise, genre_ids, before)], dim=1)
    chances = [("notes", options.seed, sample) for sample in range(options.count)]
    begun = heard.expand(options.count, -1, -1)
    n_frames = _HEARD + options.windows * seq_len
    played = play_through(model, z, genre_ids, n_frames, performance(options), chances, begun).numpy()
    new = [join(options, [roll[:, _HEARD:]]) for roll in played]
    whole = [np.concatenate([song, roll], axis=1) for roll in new]
    rolls = {f"{name}_continued_{number:03d}": roll for number, roll in enumerate(whole)}
    rows = [[RollPanel(f"{number:03d}", roll)] for number, roll in enumerate(played)]
    genre = trained.genres[genre_id]
    title = f"the end of {name}, continued as {genre} after {_HEARD} frames, {trained.path.name}"
    return Music(trained, rolls, f"{name}_continued_sheet", rows, title)
