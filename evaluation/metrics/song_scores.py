"""Scores of a song: bits by genre, by second and by note, and the genre that the CVAE's likelihood finds in it."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from common.device import select_device
from common.errors import UserError
from common.midi_library import pretty_midi
from data.pianoroll import RollNotes, roll_notes
from data.song import PITCHES
from data.song_windows import whole_seconds
from evaluation.metrics.elbo import FrameBaselines
from evaluation.options import ScoringOptions
from evaluation.samples.sampling import window_noise
from evaluation.tables import ALL_ID, ALL_NAME, BASELINE, LABEL, OURS, ResultTable, columns
from models import CVAE
from models.base import FRAMES_A_SECOND
from models.likelihoods import Tempering, encode_as, score_windows
from models.names import LARGE
from models.trained import Trained, load
from models.weight_files import folder_of, hybrid_path

BITS = 1 / math.log(2)  # in a nat
SCORES_TABLE = ResultTable(
    "scores.csv",
    "score.py",
    (
        *columns(LABEL, file="file", genre_name="{condition}"),
        *columns(OURS, probability="probability", bits_per_second="bits/s", bits_per_note="bits/note"),
        *columns(BASELINE, previous_frame_per_second="previous frame", pitch_mean_per_second="pitch mean"),
        *columns(OURS, given_latents_per_second="given its z"),
        *columns(BASELINE, other_latents_per_second="another song's z"),
    ),
)
CURVES_TABLE = ResultTable("curves.csv", "score.py", tuple(columns(LABEL, file="file", second="second")))
NOTES_TABLE = ResultTable(
    "notes.csv",
    "score.py",
    (
        *columns(LABEL, file="file", time="time, s", name="note"),
        *columns(OURS, bits="bits", wait_bits="of its time", pitch_bits="pitch", duration_bits="duration"),
    ),
)


@dataclass(frozen=True)
class Scoring:
    """How songs are scored: by a CVAE of notes, with `samples` z for each window and genre."""

    trained: Trained
    tempering: Tempering
    samples: int
    seed: int = 0
    batch_size: int = 64

    @property
    def cvae(self) -> nn.Module:
        return self.trained.model

    @property
    def window_seconds(self) -> int:
        return self.trained.seq_len // FRAMES_A_SECOND

    @property
    def device(self) -> torch.device:
        return next(self.cvae.parameters()).device


class SongScore(NamedTuple):
    """`genres`: a row for each genre and one for all; `curve`: one for each second; `notes`: one for each note."""

    genres: pd.DataFrame
    curve: pd.DataFrame
    notes: pd.DataFrame

    @property
    def genre(self) -> str:
        """The likeliest genre and its probability, in words."""
        likeliest = self.genres.loc[self.genres["probability"].idxmax()]
        return f"{likeliest['genre_name']}, probability {likeliest['probability']:.2f}"


class _Windows(NamedTuple):
    """Windows of a song, (first second, end), at every half window; those at `whole` do not overlap and are the song.

    `of_second` (seconds,): the window in whose middle half each second lies, or the first or last of them; for windows
    of two seconds the one in whose second half.
    """

    spans: list[tuple[int, int]]
    whole: list[int]
    of_second: np.ndarray

    @classmethod
    def of(cls, n_seconds: int, seconds: int) -> "_Windows":
        hop = seconds // 2
        last = max(0, -(-(n_seconds - seconds) // hop))
        starts = sorted({*range(0, n_seconds, seconds), *range(0, last * hop + 1, hop)})
        of_second = ((np.arange(n_seconds) - max(1, seconds // 4)) // hop).clip(0, last)
        spans = [(start, min(start + seconds, n_seconds)) for start in starts]
        return cls(spans, [k for k, start in enumerate(starts) if start % seconds == 0], of_second)


def open_scoring(options: ScoringOptions, load: Callable[..., Trained] = load) -> Scoring:
    """Load the CVAE of the options, on their device. Raises `CheckpointError`, or `UserError` if it has no notes."""
    remedy = "run train_hybrid.py first, or name weights with --checkpoint"
    if options.checkpoint:
        trained = load(options.checkpoint, CVAE.kind, remedy)
    else:
        path = hybrid_path(options.checkpoints or folder_of(LARGE), CVAE.kind, options.seq_len)
        trained = load(path, CVAE.kind, remedy, seq_len=options.seq_len)
    if not trained.model.any_length:
        raise UserError(f"{trained.path}: has no bits of notes; score.py needs weights of --preset large")
    trained.model.to(select_device(options.device))
    tempering = Tempering(options.divisor, options.growth)
    return Scoring(trained, tempering, options.samples, options.seed, options.batch_size)


def score_song(scoring: Scoring, roll: np.ndarray, other: np.ndarray | None = None) -> SongScore:
    """Score a song, bool (128, n_frames); `other`: a song whose latents are a baseline.

    The code length of a song is that of its windows, each on its own. For the curve and the notes a second is scored in
    a window in whose middle half it lies, so that it has context: they add up to less.
    """
    genres, song = scoring.trained.genres, _whole_seconds(roll)
    n_seconds = song.shape[1] // FRAMES_A_SECOND
    windows, notes = _Windows.of(n_seconds, scoring.window_seconds), roll_notes(roll)
    nats, note_nats = _score_windows(scoring, song, windows, notes)
    of_window = nats[windows.whole].sum(2)  # (whole windows, genres)
    probability = scoring.tempering.of_song(-torch.from_numpy(of_window)).numpy()
    baselines = FrameBaselines.fit([song[None]]).nats_of_cells(song[None])
    baselines = {
        f"{name}_per_second": cells.double().sum((0, 1)).view(n_seconds, -1).sum(1).numpy() * BITS
        for name, cells in baselines.items()
    }
    totals = np.append(of_window.sum(0), -np.logaddexp.reduce(-of_window - math.log(len(genres)), axis=1).sum())
    seconds, spans = roll.shape[1] / FRAMES_A_SECOND, [windows.spans[k] for k in windows.whole]
    source = None if other is None else _whole_seconds(other)
    scores = pd.DataFrame({
        "genre_id": [*range(len(genres)), ALL_ID], "genre_name": [*genres, ALL_NAME],
        "seconds": seconds, "notes": len(notes.pitch), "probability": [*probability, np.nan],
        "bits_per_second": totals * BITS / seconds, "bits_per_note": totals * BITS / len(notes.pitch),
        **{name: bits.sum() / seconds for name, bits in baselines.items()},
        "given_latents_per_second": _given_latents(scoring, song, song, spans) * BITS / seconds,
        "other_latents_per_second": _given_latents(scoring, song, source, spans) * BITS / seconds,
    })  # fmt: skip
    likeliest = int(probability.argmax())
    curve = _curve(scoring, nats, windows, baselines, notes.start)
    return SongScore(scores, curve, _notes(notes, note_nats[likeliest] * BITS, genres[likeliest]))


def _score_windows(
    scoring: Scoring, song: Tensor, windows: _Windows, notes: RollNotes
) -> tuple[np.ndarray, np.ndarray]:
    """Nats of the seconds of each window under each genre, (windows, genres, window seconds), 0 after a short window.

    And nats of the choices of each note of the song, (genres, notes, 3), in the window of its second.
    """
    n_genres = len(scoring.trained.genres)
    nats = np.zeros((len(windows.spans), n_genres, scoring.window_seconds))
    note_nats, cell = np.zeros((n_genres, len(notes.pitch), 3)), notes.start * PITCHES + notes.pitch
    for members in tqdm(_batches(windows.spans, scoring.batch_size), "windows", leave=False):
        rolls = _rolls(song, [windows.spans[k] for k in members]).to(scoring.device)
        noise = window_noise(members, scoring.samples, scoring.cvae.noise_size(rolls.shape[2]), scoring.seed)
        start = np.array([windows.spans[k][0] for k in members]) * FRAMES_A_SECOND
        for genre_id in range(n_genres):
            score = score_windows(scoring.cvae, rolls, genre_id, noise)
            nats[members, genre_id, : score.seconds.shape[1]] = score.seconds
            row, onset, pitch, _ = (field.numpy() for field in score.found.flat())
            onset = onset + start[row]
            # Notes that are held over the beginning of a window are none of the song's.
            place = np.searchsorted(cell, onset * PITCHES + pitch).clip(max=len(cell) - 1)
            chosen = cell[place] == onset * PITCHES + pitch
            chosen &= windows.of_second[onset // FRAMES_A_SECOND] == np.array(members)[row]
            note_nats[genre_id, place[chosen]] = score.notes[score.found.present()].numpy()[chosen]
    return nats, note_nats


def _batches(spans: Sequence[tuple[int, int]], batch_size: int) -> list[list[int]]:
    """Numbers of windows of equal length, at most `batch_size` at a time."""
    by_length: dict[int, list[int]] = {}
    for number, (start, end) in enumerate(spans):
        by_length.setdefault(end - start, []).append(number)
    return [
        members[first : first + batch_size]
        for members in by_length.values() for first in range(0, len(members), batch_size)
    ]  # fmt: skip


def _whole_seconds(roll: np.ndarray) -> Tensor:
    """A roll, bool (128, n_frames), as float32 with silence up to a whole second."""
    return torch.from_numpy(whole_seconds(roll)).float()


def _rolls(song: Tensor, spans: Iterable[tuple[int, int]]) -> Tensor:
    """Windows of a song (128, n_frames), float32 (B, 128, T)."""
    return torch.stack([song[:, start * FRAMES_A_SECOND : end * FRAMES_A_SECOND] for start, end in spans])


@torch.no_grad()
def _given_latents(
    scoring: Scoring, song: Tensor, source: Tensor | None, spans: Sequence[tuple[int, int]]
) -> np.ndarray:
    """-log p(X | z) of a song in nats under each genre and for all of them (NaN), at the posterior means of `source`.

    A shorter source is repeated. NaN without one.
    """
    n_genres = len(scoring.trained.genres)
    total = np.full(n_genres + 1, np.nan)
    if source is None:
        return total
    source = source.repeat(1, -(-song.shape[1] // source.shape[1]))[:, : song.shape[1]]
    total[:n_genres] = 0
    for members in _batches(spans, scoring.batch_size):
        chosen = [spans[k] for k in members]
        rolls, sources = (_rolls(each, chosen).to(scoring.device) for each in (song, source))
        for genre_id in range(n_genres):
            z, genre = encode_as(scoring.cvae, sources, genre_id).mean, torch.full((len(rolls),), genre_id)
            total[genre_id] += float(scoring.cvae.nll(z, genre.to(z.device), rolls).sum())
    return total


def _curve(
    scoring: Scoring, nats: np.ndarray, windows: _Windows, baselines: dict[str, np.ndarray], onset: np.ndarray
) -> pd.DataFrame:
    """A row for each second: notes that begin, bits under each genre and baseline, and the window's probabilities."""
    n_seconds, genres = len(windows.of_second), scoring.trained.genres
    start = np.array([start for start, _ in windows.spans])
    second = np.arange(n_seconds)
    bits = nats[windows.of_second, :, second - start[windows.of_second]] * BITS
    probability = scoring.tempering.of_windows(-torch.from_numpy(nats[windows.whole].sum(2))).numpy()
    probability = probability[second // scoring.window_seconds]
    return pd.DataFrame({
        "second": second, "notes": np.bincount(onset // FRAMES_A_SECOND, minlength=n_seconds),
        **{f"bits {name}": bits[:, k] for k, name in enumerate(genres)},
        **baselines,
        **{f"probability {name}": probability[:, k] for k, name in enumerate(genres)},
    })  # fmt: skip


def _notes(notes: RollNotes, bits: np.ndarray, genre: str) -> pd.DataFrame:
    """A row for each note, the most surprising first, from the bits of its wait, pitch and duration (notes, 3)."""
    frame = pd.DataFrame({
        "time": notes.start / FRAMES_A_SECOND, "seconds": (notes.end - notes.start) / FRAMES_A_SECOND,
        "pitch": notes.pitch, "name": [pretty_midi.note_number_to_name(pitch) for pitch in notes.pitch],
        "genre_name": genre, "bits": bits.sum(1),
        **{f"{name}_bits": bits[:, k] for k, name in enumerate(("wait", "pitch", "duration"))},
    })  # fmt: skip
    return frame.sort_values("bits", ascending=False, kind="stable").reset_index(drop=True)
