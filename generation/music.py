"""Options of generate.py, and what all its modes share: loading weights, and the result to write."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audio.synthesis import SoundFileOptions
from common.device import DEVICES, select_device
from common.errors import UserError
from common.genres import ALL
from common.options import option
from data.store import WINDOW_LENGTHS
from evaluation.samples.clips import NORMAL, PRIOR, ClipSource
from evaluation.samples.evaluated import SOURCES
from evaluation.samples.sampling import Performance, PlayingOptions
from figures.roll_sheet import SheetRows
from models import CVAE, LARGE
from models.trained import Trained, load
from models.weight_files import FOLDERS, folder_of, hybrid_path


@dataclass(frozen=True)
class Options(SoundFileOptions, PlayingOptions):
    """What to generate, and with which weights."""

    genre: str = option(ALL, "names or numbers, with commas, or all; exactly one with a MIDI file")
    count: int = option(8, "clips of each genre", minimum=1)
    windows: int = option(1, "windows joined end to end in a clip", minimum=1)
    source: str = option(CVAE.kind, "network that plays: the CVAE's decoder, or the generator", choices=SOURCES)
    latents: str = option(PRIOR, "latents: of the trained prior, or of N(0, I)", choices=(NORMAL, PRIOR))
    temperature: float = option(
        0.8, "of a note decoder: 1 samples the model, lower favours likely notes, 0 is greedy", minimum=0, maximum=100
    )
    correlation: float = option(
        0.9, "between the latents of neighbouring windows, where each has its own", minimum=0, maximum=1
    )
    reconstruct: Path | None = option(None, "MIDI file to encode with the CVAE and decode again")
    continue_file: Path | None = option(
        None, "MIDI file to continue by --windows windows; needs a note decoder", flag="--continue"
    )
    interpolate: tuple[Path, Path] | None = option(None, "two MIDI files; interpolates between their first windows")
    steps: int = option(8, "steps of --interpolate, both ends included", minimum=2)
    seed: int = option(0, "seed of the latents", minimum=0)
    min_note_frames: int = option(1, "drop notes of fewer frames; 1 keeps all", minimum=1)
    seq_len: int = option(128, "frames in a window (T), which selects the weights", choices=WINDOW_LENGTHS)
    preset: str = option(
        LARGE, "weights below checkpoints/ of this preset, or else those that come with the repository",
        choices=tuple(FOLDERS),
    )  # fmt: skip
    checkpoints: Path | None = option(
        None, "another folder with hybrid_G_best_T{T}.pth and hybrid_cvae_best_T{T}.pth"
    )
    checkpoint: Path | None = option(None, "other weights that play, in place of --source and --seq-len")
    cvae: Path | None = option(None, "other weights of the CVAE that encodes; with --reconstruct they set T")
    batch_size: int = option(64, "windows to generate at a time; does not change the result", minimum=1)
    exact: bool = option(True, "generate in float64 on the CPU: the same on every machine; --no-exact on the device")
    device: str = option("auto", "device of the networks; auto is cuda, else mps, else cpu", choices=DEVICES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(map(bool, (self.reconstruct, self.continue_file, self.interpolate))) > 1:
            raise UserError("give only one of --reconstruct, --continue and --interpolate")

    @property
    def performance(self) -> Performance:
        return Performance(self.playing, self.exact, self.batch_size)


class Music(NamedTuple):
    """What to write: rolls by file name, and the sheet that shows them."""

    trained: Trained
    rolls: dict[str, np.ndarray]
    sheet: str
    rows: SheetRows
    title: str


def open_source(options: Options) -> ClipSource:
    """The clips that `source`, or the weights in `checkpoint`, generate."""
    trained = load_player(options, options.source, SOURCES)
    return ClipSource(trained, {}, options.latents, options.performance, options.seed, options.min_note_frames)


def load_player(options: Options, source: str, kinds: tuple[str, ...]) -> Trained:
    """Weights that play: of one of `kinds` in `checkpoint`, or else of `source` in the folder of weights."""
    remedy = "run train_hybrid.py first, take another --seq-len, or name --checkpoint"
    if options.checkpoint:
        trained = load(options.checkpoint, kinds, remedy)
    else:
        trained = _load_hybrid(options, source, options.seq_len, remedy)
    if not options.exact:
        trained.model.to(select_device(options.device))
    return trained


def load_encoder(options: Options, seq_len: int) -> Trained:
    """The CVAE that encodes files, for windows of `seq_len` frames, or of the T of `cvae`."""
    remedy = "run train_hybrid.py first, or name weights with --cvae"
    if options.cvae:
        return load(options.cvae, CVAE.kind, remedy)
    return _load_hybrid(options, CVAE.kind, seq_len, remedy)


def _load_hybrid(options: Options, kind: str, seq_len: int, remedy: str) -> Trained:
    folder = options.checkpoints or folder_of(options.preset)
    return load(hybrid_path(folder, kind, seq_len), kind, remedy, seq_len=seq_len)
