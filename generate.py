"""Generate music with the trained models: MIDI files, their sound, and a sheet of their piano rolls.

    python generate.py                                              # 8 clips of every genre
    python generate.py --genre jazz,rock --count 20 --seed 1
    python generate.py --genre jazz --windows 4 --wav               # longer pieces, with a WAV file beside each
    python generate.py --reconstruct song.mid --genre jazz          # a file through the CVAE and back
    python generate.py --interpolate a.mid b.mid --genre jazz       # from one piece to another

Clip k of a seed is the same whatever --count, --batch-size and the other genres are, and has the same latent in every
genre, so that a column of the sheet shows what the genre changes. A clip in which nothing sounds is written as a MIDI
file without notes and counted: left out, it would flatter the model.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from audio.roll_files import write_roll_files
from audio.synthesis import SYNTHS, open_renderer
from common.errors import UserError, run_command
from common.genres import ALL, choose_genres, choose_one_genre, genre_file_names
from common.options import CheckedOptions, option, parse_options
from data.pianoroll import drop_short_notes, roll_notes
from data.song_windows import read_song_windows
from data.store import WINDOW_LENGTHS
from evaluation.measures.reconstruction import count
from evaluation.samples.sampling import decode_latents, interpolate, rolls_from_latents, walk_latents
from models import CVAE, Generator
from models.checkpoint import CheckpointError
from models.cvae import THRESHOLD
from models.trained import Trained, load_trained
from page.figures.roll_sheet import Panel, SheetRows, save_roll_sheet

SHEET_CLIPS = 8  # of each genre
MAX_STEM = 60  # characters of a file's name in titles and longer names


@dataclass(frozen=True)
class Options(CheckedOptions):
    """What to generate, and from which weights."""

    genre: str = option(ALL, "names or numbers, with commas, or all; with a MIDI file to encode, its one genre")
    count: int = option(8, "clips of each genre", minimum=1)
    windows: int = option(1, "windows joined end to end in a clip", minimum=1)
    correlation: float = option(0.9, "of neighbouring windows' latents: 0 unrelated, 1 equal", minimum=0, maximum=1)
    reconstruct: Path | None = option(None, "MIDI file to encode with the CVAE and decode again")
    interpolate: tuple[Path, Path] | None = option(None, "two MIDI files, to go from one's first window to the other's")
    steps: int = option(8, "steps of --interpolate, both ends included", minimum=2)
    seed: int = option(0, "decides the latents", minimum=0)
    threshold: float = option(THRESHOLD, "probability above which a cell sounds", minimum=0, maximum=1)
    min_note_frames: int = option(1, "drop notes of fewer frames; 1 keeps all", minimum=1)
    seq_len: int = option(128, "frames in a window: which of the hybrid weights to load", choices=WINDOW_LENGTHS)
    checkpoints: Path = option(Path("checkpoints"), "folder with hybrid_G_best_T{T}.pth and hybrid_cvae_best_T{T}.pth")
    checkpoint: Path | None = option(None, "other weights for the generator; their T counts, not --seq-len")
    cvae: Path | None = option(None, "other weights for the CVAE; with --reconstruct their T counts")
    batch_size: int = option(64, "windows to generate at a time; the result does not depend on it", minimum=1)
    output: Path = option(Path("samples"), "folder to write to")
    wav: bool = option(False, "write the sound of each MIDI file, too")
    synth: str = option("fluidsynth", "synthesiser for --wav", choices=SYNTHS)
    soundfont: Path | None = option(None, "SoundFont (.sf2) for --wav; without it the one that pretty_midi ships")


class Music(NamedTuple):
    """What to write: rolls by the names of their files, and the sheet that shows them."""

    trained: Trained
    rolls: dict[str, np.ndarray]
    sheet: str
    rows: SheetRows
    title: str


def generate(options: Options) -> list[Path]:
    """Do what the options ask for; returns the files written, the sheet last.

    Raises `UserError` or `CheckpointError` with a sentence where something is missing.
    """
    if options.reconstruct and options.interpolate:
        raise UserError("give either --reconstruct or --interpolate, not both")
    renderer = open_renderer(options.synth, options.soundfont) if options.wav else None
    make = reconstruct if options.reconstruct else interpolate_files if options.interpolate else make_clips
    trained, rolls, sheet, rows, title = make(options)
    files = write_roll_files(options.output, rolls, trained.frames_per_second, renderer)
    path = options.output / f"{sheet}.png"
    save_roll_sheet(path, rows, title=title, frames_per_second=trained.frames_per_second, window_frames=trained.seq_len)
    n_empty = sum(not roll.any() for roll in rolls.values())
    if n_empty:
        print(f"{n_empty} of the {len(rolls)} MIDI files have no notes, because nothing sounds there")
    kinds = "MIDI files, each with a WAV file" if options.wav else "MIDI files"
    print(f"{options.output}: {len(rolls)} {kinds}, and {path.name} shows them")
    return [*files, path]


def make_clips(options: Options) -> Music:
    """Clips of G from z ~ N(0, I). The windows of a clip follow a walk in z (`evaluation.sampling.walk_latents`).

    With a z of its own, each window would be music unrelated to the one before. In the walk neighbours are alike, and
    each window is still a sample of the model like any other.
    """
    trained = load_generator(options)
    generator, genre_ids = trained.model, choose_genres(options.genre, trained.genres)
    z = walk_latents(0, options.count, options.windows, generator.latent, options.seed, options.correlation)
    run = f"T{generator.seq_len}{f'x{options.windows}' if options.windows > 1 else ''}_seed{options.seed}"
    rolls, rows = {}, []
    print(f"{'genre':<16}{'clips':>7}{'empty':>7}{'notes/clip':>12}{'polyphony':>11}")
    for genre_id in genre_ids:
        genre, file_name = trained.genres[genre_id], genre_file_names(trained.genres)[genre_id]
        windows = play_generator(options, generator, z.flatten(0, 1), genre_id)
        clips = [join(options, parts) for parts in np.split(windows, options.count)]
        rolls |= {f"{file_name}_{run}_{number:03d}": clip for number, clip in enumerate(clips)}
        rows.append([Panel(f"{genre} {number:03d}", clip) for number, clip in enumerate(clips[:SHEET_CLIPS])])
        n_empty = sum(not clip.any() for clip in clips)
        notes = np.mean([len(roll_notes(clip).pitch) for clip in clips])
        polyphony = np.mean([clip.sum(axis=0).mean() for clip in clips])
        print(f"{genre:<16}{options.count:>7}{n_empty:>7}{notes:>12.1f}{polyphony:>11.2f}")
    print("polyphony: keys that sound at once, mean over all frames; both means count empty clips")
    shown = f", the first {SHEET_CLIPS} of {options.count} clips" if options.count > SHEET_CLIPS else ""
    title = f"{trained.path.name}, seed {options.seed}, threshold {options.threshold:g}{shown}"
    return Music(trained, rolls, f"sheet_{run}", rows, title)


@torch.no_grad()
def reconstruct(options: Options) -> Music:
    """Every window of a file through the CVAE: posterior mean, and a decoder that runs on its own output."""
    path, trained = options.reconstruct, load_cvae(options, options.seq_len)
    seq_len, genre_id = trained.seq_len, choose_one_genre(options.genre, trained.genres)
    batch, n_frames = read_song_windows(path, seq_len, genre_id, frames_per_second=trained.frames_per_second)
    z = trained.model.encode(*batch).mean
    decoded = decode_latents(trained.model, z, genre_id, seq_len, options.threshold)
    original = np.concatenate(list(batch.roll.numpy() > 0), axis=1)[:, :n_frames]
    reconstructed = join(options, decoded)[:, :n_frames]
    counts = count(*(torch.from_numpy(roll)[None] for roll in (reconstructed, original)))
    f1 = f"frame F1 {counts.f1(torch.ones(1, dtype=torch.bool)):.3f}"
    print(f"{f1} over {n_frames} frames in {len(decoded)} windows")
    rolls = {f"{path.stem}_original": original, f"{path.stem}_reconstructed": reconstructed}
    rows = [[Panel(name.removeprefix(f"{path.stem}_"), roll)] for name, roll in rolls.items()]
    title = f"{path.stem[:MAX_STEM]} as {trained.genres[genre_id]}, {trained.path.name}: {f1}"
    return Music(trained, rolls, f"{path.stem}_T{seq_len}_sheet", rows, title)


@torch.no_grad()
def interpolate_files(options: Options) -> Music:
    """From the first window that sounds of one file to that of another, along an arc of latents.

    Both models play every latent: G, because it was trained on the encoder's latents and makes the clips; the CVAE's
    decoder, because it alone was trained to give the two windows back at the ends.
    """
    trained = load_generator(options)
    generator, seq_len = trained.model, trained.model.seq_len
    encoder = load_cvae(options, seq_len)
    if (encoder.genres, encoder.model.latent) != (trained.genres, generator.latent):
        raise UserError(f"{encoder.path}, {trained.path}: differ in genres or latents; name weights of one training")
    genre_id = choose_one_genre(options.genre, trained.genres)
    ends, originals = [], []
    for name, path in zip("AB", options.interpolate, strict=True):
        batch, _ = read_song_windows(path, seq_len, genre_id, frames_per_second=encoder.frames_per_second)
        first = int(batch.roll.amax((1, 2)).argmax())
        ends.append(encoder.model.encode(*batch).mean[first])
        originals.append(Panel(name, batch.roll[first].numpy() > 0))
    z = interpolate(*ends, options.steps)
    played = {
        "G": play_generator(options, generator, z, genre_id),
        "cvae": decode_latents(encoder.model, z.float(), genre_id, seq_len, options.threshold),
    }
    played = {name: [join(options, [roll]) for roll in steps] for name, steps in played.items()}
    stem_a, stem_b = (path.stem[:MAX_STEM] for path in options.interpolate)
    stem = f"{stem_a}_to_{stem_b}_T{seq_len}"
    rolls = {f"{stem}_{name}_{step:03d}": roll for name, steps in played.items() for step, roll in enumerate(steps)}
    rows = [[originals[0], *[None] * (options.steps - 2), originals[1]]]
    rows += [[Panel(f"{name} {step:03d}", roll) for step, roll in enumerate(steps)] for name, steps in played.items()]
    title = f"A {stem_a}\nB {stem_b}\nas {trained.genres[genre_id]}, {trained.path.name}, {encoder.path.name}"
    return Music(trained, rolls, f"{stem}_sheet", rows, title)


def load_generator(options: Options) -> Trained:
    path = options.checkpoint or options.checkpoints / f"hybrid_G_best_T{options.seq_len}.pth"
    return load_trained(path, Generator.kind, "run train_hybrid.py first, take another --seq-len, or name --checkpoint")


def load_cvae(options: Options, seq_len: int) -> Trained:
    path = options.cvae or options.checkpoints / f"hybrid_cvae_best_T{seq_len}.pth"
    return load_trained(path, CVAE.kind, "run train_hybrid.py first, or name weights with --cvae")


def play_generator(options: Options, generator: Generator, z: Tensor, genre_id: int) -> np.ndarray:
    """Rolls of G, bool (n, 128, T), for latents (n, latent)."""
    return rolls_from_latents(generator, z, [genre_id] * len(z), options.batch_size, options.threshold).numpy()


def join(options: Options, windows: Iterable[np.ndarray]) -> np.ndarray:
    """Windows end to end, without notes that are too short."""
    return drop_short_notes(np.concatenate(list(windows), axis=1), options.min_note_frames)


if __name__ == "__main__":
    run_command(lambda: generate(parse_options(Options, __doc__)), CheckpointError)
