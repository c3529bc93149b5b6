"""Music from MIDI files: a file through the CVAE and back, its continuation, and a path from one file to another."""

import numpy as np
import torch

from common.errors import UserError
from common.genres import choose_one_genre
from common.text import short_name
from data.pianoroll import drop_short_notes
from data.song_windows import read_song_roll, read_song_windows
from evaluation.metrics.reconstruction import count, f1
from evaluation.samples.clips import PRIOR
from evaluation.samples.sampling import interpolate, play_latents, play_through, sample_noise, sample_prior
from figures.roll_sheet import RollPanel
from generation.music import Music, Options, load_encoder, load_player
from models import Generator
from models.base import PITCHES
from models.trained import Trained

_CONTEXT = 64  # frames of a song that its continuation begins with


@torch.no_grad()
def reconstruct(options: Options) -> Music:
    """Every window of a file through the CVAE: posterior mean, and decoding without teacher forcing."""
    trained = load_encoder(options, options.seq_len)
    genre_id = choose_one_genre(options.genre, trained.genres, trained.condition)
    name, seq_len, rate = short_name(options.reconstruct.stem), trained.seq_len, trained.frames_per_second
    batch, n_frames = read_song_windows(options.reconstruct, seq_len, genre_id, frames_per_second=rate)
    z = trained.model.encode(*batch).mean
    if trained.model.any_length:  # one piece, without seams between its windows
        how = len(batch.roll) * seq_len, options.performance, [("feedback", options.seed)]
        decoded = play_through(trained.model, z.view(1, -1), [genre_id], *how).numpy()
    else:
        decoded = _decode(options, trained, z, genre_id)
    original = np.concatenate(list(batch.roll.numpy() > 0), axis=1)[:, :n_frames]
    reconstructed = drop_short_notes(np.concatenate(list(decoded), axis=1), options.min_note_frames)[:, :n_frames]
    counts = count(*(torch.from_numpy(roll)[None] for roll in (reconstructed, original)))
    score = f"frame F1 {f1(*map(float, counts)):.3f}"
    print(f"{score} over {n_frames} frames in {len(z)} windows")
    rolls = {f"{name}_original": original, f"{name}_reconstructed": reconstructed}
    rows = [[RollPanel(each.removeprefix(f"{name}_"), roll)] for each, roll in rolls.items()]
    title = f"{name} as {trained.genres[genre_id]}, {trained.path.name}: {score}"
    return Music(trained, rolls, f"{name}_T{seq_len}_sheet", rows, title)


@torch.no_grad()
def interpolate_files(options: Options) -> Music:
    """From the first sounding window of one file to that of another, along an arc of latents.

    Both networks play every latent, whatever `source` is: G, which was trained on the encoder's latents to make clips,
    and the CVAE's decoder, which was trained to reconstruct the windows at the ends.
    """
    player = load_player(options, Generator.kind, (Generator.kind,))
    seq_len = player.seq_len
    encoder = load_encoder(options, seq_len)
    if (encoder.genres, encoder.model.noise_size(seq_len)) != (player.genres, player.model.noise_size(seq_len)):
        raise UserError(f"{encoder.path}, {player.path}: differ in genres or latents; name weights of one training")
    genre_id = choose_one_genre(options.genre, player.genres, player.condition)
    ends, originals = [], []
    for name, path in zip("AB", options.interpolate, strict=True):
        batch, _ = read_song_windows(path, seq_len, genre_id, frames_per_second=encoder.frames_per_second)
        first = int(batch.roll.amax((1, 2)).argmax())
        ends.append(encoder.model.encode(*batch).mean[first])
        originals.append(RollPanel(name, batch.roll[first].numpy() > 0))
    z = interpolate(*ends, options.steps)
    played = {
        name: drop_short_notes(_decode(options, trained, z, genre_id), options.min_note_frames)
        for name, trained in (("G", player), ("cvae", encoder))
    }
    name_a, name_b = (short_name(path.stem) for path in options.interpolate)
    stem = f"{name_a}_to_{name_b}_T{seq_len}"
    rolls = {f"{stem}_{name}_{step:03d}": roll for name, steps in played.items() for step, roll in enumerate(steps)}
    rows = [[originals[0], *[None] * (options.steps - 2), originals[1]]]
    rows += [[RollPanel(f"{name} {step:03d}", roll) for step, roll in enumerate(s)] for name, s in played.items()]
    title = f"A {name_a}\nB {name_b}\nas {player.genres[genre_id]}, {player.path.name}, {encoder.path.name}"
    return Music(player, rolls, f"{stem}_sheet", rows, title)


@torch.no_grad()
def continue_file(options: Options) -> Music:
    """A file, and continuations of it by the CVAE's note decoder.

    The prior continues the latents of the last `_CONTEXT` frames, the decoder their notes. Raises `UserError` if the
    weights are not of a note decoder.
    """
    trained = load_encoder(options, options.seq_len)
    model, seq_len = trained.model, trained.seq_len
    if not model.any_length:
        raise UserError(f"{trained.path}: decodes single windows; --continue needs weights of --preset large")
    genre_id = choose_one_genre(options.genre, trained.genres, trained.condition)
    name = short_name(options.continue_file.stem)
    song = read_song_roll(options.continue_file, trained.frames_per_second)
    context = torch.zeros(1, PITCHES, _CONTEXT, dtype=torch.bool)  # a shorter song is preceded by silence
    context[0, :, max(0, _CONTEXT - song.shape[1]) :] = torch.from_numpy(song[:, -_CONTEXT:])
    genre_ids = [genre_id] * options.count
    no_notes = torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)
    before = model.encode(context.float(), *no_notes, torch.tensor([genre_id])).mean.expand(options.count, -1)
    new = sample_noise(0, options.count, model.noise_size(options.windows * seq_len), options.seed)
    if options.latents == PRIOR:
        new = sample_prior(model, new, genre_ids, before)
    z = torch.cat([before.double(), new], dim=1)
    chances = [("notes", options.seed, sample) for sample in range(options.count)]
    begun = context.expand(options.count, -1, -1)
    n_frames = _CONTEXT + options.windows * seq_len
    played = play_through(model, z, genre_ids, n_frames, options.performance, chances, begun).numpy()
    continuations = drop_short_notes(played[:, :, _CONTEXT:], options.min_note_frames)
    rolls = {
        f"{name}_continued_{number:03d}": np.concatenate([song, roll], axis=1)
        for number, roll in enumerate(continuations)
    }
    rows = [[RollPanel(f"{number:03d}", roll)] for number, roll in enumerate(played)]
    genre = trained.genres[genre_id]
    title = f"the end of {name}, continued as {genre} after {_CONTEXT} frames, {trained.path.name}"
    return Music(trained, rolls, f"{name}_continued_sheet", rows, title)


def _decode(options: Options, trained: Trained, z: torch.Tensor, genre_id: int) -> np.ndarray:
    """Rolls bool (n, 128, T) from latents (n, size of z)."""
    chances = [("feedback", options.seed, row) for row in range(len(z))]
    genre_ids = [genre_id] * len(z)
    return play_latents(trained.model, z, genre_ids, trained.seq_len, options.performance, chances).numpy()
