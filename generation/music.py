"""Everything that generate.py makes: clips and longer pieces of genres, and music from MIDI files.

Of a file: the file through the CVAE and back, its continuation, and a path from one file to another.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from common.device import select_device
from common.errors import UserError
from common.genres import choose_genres, choose_one_genre, genre_file_names
from common.text import aligned, printable, short_name
from data.pianoroll import drop_short_notes, roll_notes
from data.song_windows import read_song_roll, read_song_windows
from evaluation.options import PRIOR, SOURCES
from evaluation.samples import sampling
from evaluation.samples.clips import ClipSource
from evaluation.samples.sampling import Performance
from evaluation.statistics.features import count, f1
from figures.roll_sheet import RollPanel, SheetRows
from generation.options import Options
from models import CVAE, Generator
from models.base import FRAMES_A_SECOND
from models.trained import Trained, load
from models.weight_files import folder_of, hybrid_file, hybrid_path, pretrained_file

_CONTEXT = 64  # frames of a song that its continuation begins with
SHEET_CLIPS = 8  # of each genre
Load = Callable[..., Trained]  # `models.trained.load`, or one that returns networks that it has loaded before


class Music(NamedTuple):
    """What to write: rolls by file name, and the sheet that shows them; `remarks`: lines to print."""

    trained: Trained
    rolls: dict[str, np.ndarray]
    sheet: str
    rows: SheetRows
    title: str
    remarks: tuple[str, ...] = ()


def load_player(options: Options, source: str, kinds: tuple[str, ...], load: Load = load) -> Trained:
    """Weights that play: of one of `kinds` in `checkpoint`, or else of `source` in the folder of weights."""
    remedy = "run train_hybrid.py first, take another --seq-len, or name --checkpoint"
    trained = _load(options, options.checkpoint, kinds, source, options.seq_len, remedy, load)
    if not options.exact:
        trained.model.to(select_device(options.device))
    return trained


def load_encoder(options: Options, seq_len: int, load: Load = load) -> Trained:
    """The CVAE that encodes files, for windows of `seq_len` frames, or of the T of `cvae`."""
    remedy = "run train_hybrid.py first, or name weights with --cvae"
    return _load(options, options.cvae, (CVAE.kind,), CVAE.kind, seq_len, remedy, load)


def load_note_decoder(options: Options, flag: str, load: Load = load) -> Trained:
    """The CVAE of `load_encoder`, which plays pieces of any length. Raises `UserError` with `flag` for another."""
    trained = load_encoder(options, options.seq_len, load)
    if not trained.model.any_length:
        raise UserError(f"{trained.path}: decodes single windows; {flag} needs weights of --preset large")
    return trained


def _load(
    options: Options, file: Path | None, kinds: tuple[str, ...], kind: str, seq_len: int, remedy: str, load: Load
) -> Trained:
    if file:
        return load(file, kinds, remedy)
    folder = options.checkpoints or folder_of(options.preset)
    path, earlier = hybrid_path(folder, kind, seq_len), folder / pretrained_file(kind)
    if earlier.exists():
        remedy = f"{remedy} {earlier}"
    return load(path, kind, remedy, seq_len=seq_len)


def performance_of(options: Options) -> Performance:
    return Performance(options.playing, options.exact, options.batch_size)


def run_name(options: Options, trained: Trained, *genre_ids: int) -> str:
    """The part of file names that tells results apart: genres, weights, T and number of windows, seed."""
    genres = short_name("_".join(genre_file_names(trained.genres)[genre_id] for genre_id in genre_ids))
    if trained.path.name == hybrid_file(trained.model.kind, trained.seq_len):
        weights = f"{options.checkpoints.name if options.checkpoints else options.preset}_{trained.model.kind}"
    else:
        weights = trained.path.stem
    windows = f"x{options.windows}" if options.windows > 1 else ""
    parts = genres, short_name(weights), f"T{trained.seq_len}{windows}", f"seed{options.seed}"
    return "_".join(part for part in parts if part)


def make_clips(options: Options, load: Load = load) -> Music:
    """Clips of each genre; see `ClipSource.pieces` for clips of several windows."""
    trained = load_player(options, options.source, SOURCES, load)
    source = ClipSource(
        trained, {}, options.latents, performance_of(options), options.seed, options.min_note_frames,
        genre_draws=options.genre_draws,
    )  # fmt: skip
    rolls, rows = {}, []
    table = [(printable(trained.condition), "clips", "empty", "notes/clip", "polyphony")]
    chosen = choose_genres(options.genre, trained.genres, trained.condition)
    for genre_id in chosen:
        genre, run = trained.genres[genre_id], run_name(options, trained, genre_id)
        clips = source.pieces(genre_id, options.count, options.windows, options.correlation)
        rolls |= {f"{run}_{number:03d}": clip for number, clip in enumerate(clips)}
        rows.append([RollPanel(f"{genre} {number:03d}", clip) for number, clip in enumerate(clips[:SHEET_CLIPS])])
        n_empty = sum(not clip.any() for clip in clips)
        notes = float(np.mean([len(roll_notes(clip).pitch) for clip in clips]))
        polyphony = float(np.mean([clip.sum(axis=0).mean() for clip in clips]))
        table.append((printable(genre), str(options.count), str(n_empty), f"{notes:.4g}", f"{polyphony:.4g}"))
    shown = f", the first {SHEET_CLIPS} of {options.count} clips" if options.count > SHEET_CLIPS else ""
    title = f"{trained.path.name}, seed {options.seed}, threshold {options.threshold:g}{shown}"
    sheet = run_name(options, trained, *(chosen if len(chosen) < len(trained.genres) else ()))
    remarks = aligned(table), "polyphony: sounding keys, mean over all frames; empty clips count in both means"
    return Music(trained, rolls, f"sheet_{sheet}", rows, title, remarks)


@torch.no_grad()
def reconstruct(options: Options, load: Load = load) -> Music:
    """Every window of a file through the CVAE: posterior mean, and decoding without teacher forcing."""
    trained = load_encoder(options, options.seq_len, load)
    genre_id = choose_one_genre(options.genre, trained.genres, trained.condition)
    name, seq_len, rate = short_name(options.reconstruct.stem), trained.seq_len, trained.frames_per_second
    stem = f"{name}_{run_name(options, trained, genre_id)}"
    batch, n_frames = read_song_windows(options.reconstruct, seq_len, genre_id, frames_per_second=rate)
    z = trained.model.encode(*batch).mean
    if trained.model.any_length:  # one piece, without seams between its windows
        how = len(batch.roll) * seq_len, performance_of(options), [("feedback", options.seed)]
        decoded = sampling.play_through(trained.model, z.view(1, -1), [genre_id], *how).numpy()
    else:
        decoded = _decode(options, trained, z, genre_id, range(len(z)))
    original = np.concatenate(list(batch.roll.numpy() > 0), axis=1)[:, :n_frames]
    reconstructed = drop_short_notes(np.concatenate(list(decoded), axis=1), options.min_note_frames)[:, :n_frames]
    counts = count(*(torch.from_numpy(roll)[None] for roll in (reconstructed, original)))
    score = f"frame F1 {f1(*map(float, counts)):.3f}"
    rolls = {f"{stem}_original": original, f"{stem}_reconstructed": reconstructed}
    rows = [[RollPanel(each.removeprefix(f"{stem}_"), roll)] for each, roll in rolls.items()]
    title = f"{name} as {trained.genres[genre_id]}, {trained.path.name}: {score}"
    remark = f"{score} over {n_frames} frames in {len(z)} windows"
    return Music(trained, rolls, f"{stem}_sheet", rows, title, (remark,))


@torch.no_grad()
def interpolate_files(options: Options, load: Load = load) -> Music:
    """From the first sounding window of one file to that of another, along an arc of latents.

    Both networks play every latent, whatever `source` is: G, which was trained on the encoder's latents to make clips,
    and the CVAE's decoder, which was trained to reconstruct the windows at the ends.
    """
    player = load_player(options, Generator.kind, (Generator.kind,), load)
    seq_len = player.seq_len
    encoder = load_encoder(options, seq_len, load)
    if (encoder.genres, encoder.model.noise_size(seq_len)) != (player.genres, player.model.noise_size(seq_len)):
        raise UserError(f"{encoder.path}, {player.path}: differ in genres or latents; name weights of one training")
    genre_id = choose_one_genre(options.genre, player.genres, player.condition)
    ends, originals = [], []
    for name, path in zip("AB", options.interpolate, strict=True):
        batch, _ = read_song_windows(path, seq_len, genre_id, frames_per_second=encoder.frames_per_second)
        first = int(batch.roll.amax((1, 2)).argmax())
        ends.append(encoder.model.encode(*batch).mean[first])
        originals.append(RollPanel(name, batch.roll[first].numpy() > 0))
    z = sampling.interpolate(*ends, options.steps)
    networks = {"G": player, "cvae": encoder}
    rows = [0] * len(z)  # the same random numbers at every step, so that z alone changes
    decoded = {name: _decode(options, trained, z, genre_id, rows) for name, trained in networks.items()}
    played = {name: drop_short_notes(rolls, options.min_note_frames) for name, rolls in decoded.items()}
    name_a, name_b = (short_name(path.stem) for path in options.interpolate)
    stem = f"{name_a}_to_{name_b}"
    rolls = {
        f"{stem}_{run_name(options, networks[name], genre_id)}_{step:03d}": roll
        for name, steps in played.items()
        for step, roll in enumerate(steps)
    }
    panels = [[originals[0], *[None] * (options.steps - 2), originals[1]]]
    panels += [[RollPanel(f"{name} {step:03d}", roll) for step, roll in enumerate(s)] for name, s in played.items()]
    title = f"A {name_a}\nB {name_b}\nas {player.genres[genre_id]}, {player.path.name}, {encoder.path.name}"
    return Music(player, rolls, f"{stem}_{run_name(options, player, genre_id)}_sheet", panels, title)


@torch.no_grad()
def continue_file(options: Options, load: Load = load) -> Music:
    """A file, and continuations of it by the CVAE's note decoder.

    The prior continues the latents of `_CONTEXT` frames, the decoder their notes: of the last frames of the file, or
    of those up to a second after its last onset. A rest or held notes at the end would be followed by more of them.
    The remark says how many continuations have no note. Raises `UserError` if the weights are not of a note decoder.
    """
    trained = load_note_decoder(options, "--continue", load)
    model, seq_len = trained.model, trained.seq_len
    genre_id = choose_one_genre(options.genre, trained.genres, trained.condition)
    name, run = short_name(options.continue_file.stem), run_name(options, trained, genre_id)
    song = read_song_roll(options.continue_file, trained.frames_per_second)
    heard = torch.from_numpy(song[:, : roll_notes(song).start[-1] + FRAMES_A_SECOND])
    context = F.pad(heard, (_CONTEXT, 0))[None, :, -_CONTEXT:]  # a shorter song is preceded by silence
    genre_ids = [genre_id] * options.count
    no_notes = torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)
    before = model.encode(context.float(), *no_notes, torch.tensor([genre_id])).mean.expand(options.count, -1)
    new = sampling.sample_noise(0, options.count, model.noise_size(options.windows * seq_len), options.seed)
    if options.latents == PRIOR:
        new = sampling.sample_prior(model, new, genre_ids, before)
    z = torch.cat([before.double(), new], dim=1)
    chances = [("notes", options.seed, sample) for sample in range(options.count)]
    begun = context.expand(options.count, -1, -1)
    n_frames = _CONTEXT + options.windows * seq_len
    played = sampling.play_through(model, z, genre_ids, n_frames, performance_of(options), chances, begun).numpy()
    continuations = drop_short_notes(played[:, :, _CONTEXT:], options.min_note_frames)
    n_empty = sum(not roll.any() for roll in continuations)
    remarks = (f"{n_empty} of the {options.count} continuations add no note",) if n_empty else ()
    rolls = {
        f"{name}_continued_{run}_{number:03d}": np.concatenate([song, roll], axis=1)
        for number, roll in enumerate(continuations)
    }
    rows = [[RollPanel(f"{number:03d}", roll)] for number, roll in enumerate(played)]
    genre = trained.genres[genre_id]
    title = f"the end of {name}, continued as {genre} after {_CONTEXT} frames, {trained.path.name}"
    return Music(trained, rolls, f"{name}_continued_{run}_sheet", rows, title, remarks)


def _decode(options: Options, trained: Trained, z: torch.Tensor, genre_id: int, rows: Iterable[int]) -> np.ndarray:
    """Rolls bool (n, 128, T) from latents (n, size of z), each with the random numbers of its row in `rows`."""
    chances = [("feedback", options.seed, row) for row in rows]
    genre_ids = [genre_id] * len(z)
    return sampling.play_latents(trained.model, z, genre_ids, trained.seq_len, performance_of(options), chances).numpy()
