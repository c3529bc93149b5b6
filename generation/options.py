"""What generate.py makes, and with which weights."""

from dataclasses import dataclass
from pathlib import Path

from audio.options import SoundFileOptions
from common.errors import UserError
from common.genres import ALL
from common.options import DEVICES, option
from data.window_lengths import WINDOW_LENGTHS
from evaluation.options import CORRELATION, NORMAL, PRIOR, SOURCES, ClipPlayingOptions
from models.names import FOLDERS, LARGE


@dataclass(frozen=True)
class Options(SoundFileOptions, ClipPlayingOptions):
    """What to generate, and with which weights."""

    genre: str = option(ALL, "names or numbers, with commas, or all; exactly one with a MIDI file")
    count: int = option(8, "clips of each genre", minimum=1)
    windows: int = option(1, "windows joined end to end in a clip", minimum=1)
    source: str = option("cvae", "network that plays: the CVAE's decoder, or the generator", choices=SOURCES)
    latents: str = option(PRIOR, "latents: of the trained prior, or of N(0, I)", choices=(NORMAL, PRIOR))
    temperature: float = option(
        0.8, "of a note decoder: 1 samples the model, lower favours likely notes, 0 is greedy", minimum=0, maximum=100
    )
    correlation: float = option(
        CORRELATION, "between the latents of neighbouring windows, where each has its own", minimum=0, maximum=1
    )
    reconstruct: Path | None = option(None, "MIDI file to encode with the CVAE and decode again")
    continue_file: Path | None = option(
        None, "MIDI file to continue by --windows windows; needs a note decoder", flag="--continue"
    )
    interpolate: tuple[Path, Path] | None = option(None, "two MIDI files; interpolates between their first windows")
    steps: int = option(8, "steps of --interpolate, both ends included", minimum=2)
    infill: Path | None = option(None, "MIDI file of which to redraw --span; needs a note decoder")
    span: tuple[int, int] | None = option(None, "first second that --infill redraws, and the second after the last")
    vary: Path | None = option(None, "MIDI file to change by --amount; needs a note decoder")
    amount: float = option(
        0.3, "of --vary: share of its seconds to redraw, and how far; 0 keeps the file, 1 is a new draw",
        minimum=0, maximum=1,
    )  # fmt: skip
    draws: int = option(
        8, "of --infill and --vary: candidates for each redrawn part, chosen by the likelihood of what follows",
        minimum=1,
    )  # fmt: skip
    seed: int = option(0, "seed of the latents", minimum=0)
    min_note_frames: int = option(1, "drop notes of fewer frames; 1 keeps all", minimum=1)
    seq_len: int = option(128, "frames in a window (T), which selects the weights", choices=WINDOW_LENGTHS)
    preset: str = option(
        LARGE, "weights below checkpoints/ of this preset, or else those that come with the repository",
        choices=tuple(FOLDERS),
    )  # fmt: skip
    checkpoints: Path | None = option(None, "another folder with hybrid_G_best_T{T}.pth and hybrid_cvae_best_T{T}.pth")
    checkpoint: Path | None = option(None, "other weights that play, in place of --source and --seq-len")
    cvae: Path | None = option(None, "other weights of the CVAE that encodes; with --reconstruct they set T")
    batch_size: int = option(64, "windows to generate at a time; does not change the result", minimum=1)
    exact: bool = option(True, "generate in float64 on the CPU: the same on every machine; --no-exact on the device")
    device: str = option("auto", "device of the networks; auto is cuda, else mps, else cpu", choices=DEVICES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(map(bool, (self.reconstruct, self.continue_file, self.interpolate, self.infill, self.vary))) > 1:
            raise UserError("give only one of --reconstruct, --continue, --interpolate, --infill and --vary")
        if self.infill and (self.span is None or not 0 <= self.span[0] < self.span[1]):
            raise UserError("--infill needs --span FIRST END, in whole seconds of the file, for example --span 8 16")
        if self.span and not self.infill:
            raise UserError("--span names the seconds that --infill redraws: give --infill FILE, too")
        if (self.infill or self.vary) and (self.windows > 1 or (self.source, self.latents) != ("cvae", PRIOR)):
            raise UserError("--infill and --vary take no --windows, --source or --latents: leave them out")
