"""What to generate and from which weights, and what all ways of generating share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from audio.synthesis import SYNTHS
from common.device import DEVICES, select_device
from common.errors import UserError
from common.genres import ALL
from common.options import option
from data.pianoroll import drop_short_notes
from data.store import WINDOW_LENGTHS
from evaluation.samples.clips import SOURCES
from evaluation.samples.sampling import Performance, PlayingOptions, play_latents
from figures.roll_sheet import SheetRows
from models import CVAE, LARGE
from models.trained import Trained, load
from models.weight_files import FOLDERS, folder_of, hybrid_path


@dataclass(frozen=True)
class Options(PlayingOptions):
    """What to generate, and from which weights."""

    genre: str = option(ALL, "names or numbers, with commas, or all; with a MIDI file to encode, its one genre")
    count: int = option(8, "clips of each genre", minimum=1)
    windows: int = option(1, "windows joined end to end in a clip", minimum=1)
    source: str = option(CVAE.kind, "what plays: the CVAE's decoder, or the generator", choices=SOURCES)
    temperature: float = option(
        0.8, "of a note decoder: 1 draws from the model, less keeps to what is likely, 0 takes the likeliest",
        minimum=0, maximum=100,
    )  # fmt: skip
    prior: bool = option(True, "draw z of the prior that was trained, if one was; --no-prior of N(0, I)")
    correlation: float = option(
        0.9, "of neighbouring windows' latents, where each has its own: 0 unrelated, 1 equal", minimum=0, maximum=1
    )
    reconstruct: Path | None = option(None, "MIDI file to encode with the CVAE and decode again")
    continue_file: Path | None = option(
        None, "MIDI file to go on from, --windows windows long; for a note decoder", flag="--continue"
    )
    interpolate: tuple[Path, Path] | None = option(None, "two MIDI files, to go from one's first window to the other's")
    steps: int = option(8, "steps of --interpolate, both ends included", minimum=2)
    seed: int = option(0, "decides the latents", minimum=0)
    min_note_frames: int = option(1, "drop notes of fewer frames; 1 keeps all", minimum=1)
    seq_len: int = option(128, "frames in a window: which of the hybrid weights to load", choices=WINDOW_LENGTHS)
    preset: str = option(
        LARGE, "whose weights: your own below checkpoints/, or else those that come with the repository",
        choices=tuple(FOLDERS),
    )  # fmt: skip
    checkpoints: Path | None = option(
        None, "another folder with hybrid_G_best_T{T}.pth and hybrid_cvae_best_T{T}.pth"
    )
    checkpoint: Path | None = option(None, "other weights of a generator or a CVAE; their T counts, not --seq-len")
    cvae: Path | None = option(None, "other weights for the CVAE; with --reconstruct their T counts")
    batch_size: int = option(64, "windows to generate at a time; the result does not depend on it", minimum=1)
    exact: bool = option(True, "generate in float64 on the CPU: the same on every machine; --no-exact on the device")
    device: str = option("auto", "where the networks compute; auto is cuda, else mps, else cpu", choices=DEVICES)
    output: Path = option(Path("samples"), "folder to write to")
    wav: bool = option(False, "write the sound of each MIDI file, too")
    synth: str = option("fluidsynth", "synthesiser for --wav", choices=SYNTHS)
    soundfont: Path | None = option(None, "SoundFont (.sf2) for --wav; without it the one that pretty_midi ships")

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(map(bool, (self.reconstruct, self.continue_file, self.interpolate))) > 1:
            raise UserError("give only one of --reconstruct, --continue and --interpolate")

    @property
    def folder(self) -> Path:
        """Where the weights are."""
        return self.checkpoints or folder_of(self.preset)


class Music(NamedTuple):
    """What to write: rolls by the names of their files, and the sheet that shows them."""

    trained: Trained
    rolls: dict[str, np.ndarray]
    sheet: str
    rows: SheetRows
    title: str


def load_player(options: Options) -> Trained:
    """What plays: the generator, or the CVAE, whose decoder does."""
    remedy = "run train_hybrid.py first, take another --seq-len, or name --checkpoint"
    if options.checkpoint:
        trained = load(options.checkpoint, SOURCES, remedy)
    else:
        path = hybrid_path(options.folder, options.source, options.seq_len)
        trained = load(path, SOURCES, remedy, seq_len=options.seq_len)
    if not options.exact:
        trained.model.to(select_device(options.device))
    return trained


def load_cvae(options: Options, seq_len: int) -> Trained:
    """What encodes files, for windows of `seq_len` frames, or of its own T where --cvae names it."""
    remedy = "run train_hybrid.py first, or name weights with --cvae"
    if options.cvae:
        return load(options.cvae, CVAE.kind, remedy)
    return load(hybrid_path(options.folder, CVAE.kind, seq_len), CVAE.kind, remedy, seq_len=seq_len)


def performance(options: Options) -> Performance:
    return Performance(options.playing, options.exact, options.batch_size)


def decode(options: Options, trained: Trained, z: torch.Tensor, genre_id: int) -> np.ndarray:
    """Rolls of the CVAE's decoder, bool (n, 128, T), for latents (n, size of z)."""
    chances = [("feedback", options.seed, row) for row in range(len(z))]
    genre_ids = [genre_id] * len(z)
    return play_latents(trained.model, z, genre_ids, trained.seq_len, performance(options), chances).numpy()


def join(options: Options, windows: Sequence[np.ndarray]) -> np.ndarray:
    """Windows end to end, without notes that are too short."""
    return drop_short_notes(np.concatenate(list(windows), axis=1), options.min_note_frames)
