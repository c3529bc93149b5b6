"""Options of the evaluations, in groups that several of them share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audio.options import EMBEDDERS, SYNTHS
from common.options import DEVICES, CheckedOptions, option
from common.splits import SPLITS
from data.window_lengths import WINDOW_LENGTHS
from models.names import DIVISOR, GROWTH
from models.playing import FEEDBACK, THRESHOLD, THRESHOLDED, Playing

SOURCES = ("generator", "cvae")  # kinds of networks that play
NORMAL, PRIOR, POSTERIOR = LATENTS = ("normal", "prior", "posterior")
MEAN, SAMPLE = "mean", "sample"  # of the posterior
REDRAWN, SILENCE = EMPTY = ("redrawn", "silence")
CORRELATION = 0.9  # between the latents of neighbouring windows of a piece, where each has its own


@dataclass(frozen=True)
class PlayingOptions(CheckedOptions):
    """Options of generators and decoders when they play."""

    threshold: float = option(THRESHOLD, "probability above which a cell sounds", minimum=0, maximum=1)
    feedback: str = option(
        THRESHOLDED, "input of a frame decoder: its last frame thresholded, sampled or as probabilities",
        choices=FEEDBACK,
    )  # fmt: skip
    temperature: float = option(
        1.0, "of a note decoder: 1 samples the model, lower favours likely notes, 0 is greedy", minimum=0, maximum=100
    )
    nucleus: float = option(
        1.0, "of a note decoder: sample from the likeliest choices up to this total probability", above=0, maximum=1
    )

    @property
    def playing(self) -> Playing:
        return Playing(self.threshold, self.feedback, self.temperature, self.nucleus)


@dataclass(frozen=True)
class ClipPlayingOptions(PlayingOptions):
    """Options of networks that play clips."""

    group_onsets: bool = option(
        True,
        "a generator of preset large without an outline plays the notes of a chord together; --no-group-onsets: as it "
        "predicts them",
    )
    genre_draws: int = option(
        1, "z drawn from the prior for each clip, of which the one most typical of the genre is played: more are "
        "recognised more often and are less like real clips of the genre",
        minimum=1, maximum=1000,
    )  # fmt: skip

    @property
    def playing(self) -> Playing:
        return super().playing._replace(group_onsets=self.group_onsets)


@dataclass(frozen=True)
class ScoringOptions(CheckedOptions):
    """Weights, and how songs are scored."""

    samples: int = option(2, "z for each window and genre; more make the bits fewer and surer", minimum=1)
    divisor: float = option(DIVISOR, "of log-likelihoods, for calibrated probabilities of genres", above=0)
    growth: float = option(GROWTH, "of n windows, log-likelihoods are divided by n to this power", minimum=0, maximum=1)
    seed: int = option(0, "seed of the latents", minimum=0)
    seq_len: int = option(128, "frames in a window (T), which selects the weights", choices=WINDOW_LENGTHS)
    checkpoints: Path | None = option(None, "folder with hybrid_cvae_best_T{T}.pth (default: that of preset large)")
    checkpoint: Path | None = option(None, "other weights of a CVAE of notes, in place of --checkpoints and --seq-len")
    batch_size: int = option(64, "windows at a time; does not change the result", minimum=1)
    device: str = option("auto", "device of the networks; auto is cuda, else mps, else cpu", choices=DEVICES)


@dataclass(frozen=True)
class StoreOptions(CheckedOptions):
    """Options of every evaluation."""

    store: Path = option(Path("store"), "roll store that prepare_data.py made")
    metrics: Path = option(Path("metrics"), "folder for tables and figures")
    split: str = option("test", "split of the songs to evaluate on", choices=SPLITS)
    seed: int = option(0, "seed of the noise, and of the order of real clips", minimum=0)
    device: str = option("auto", "device of the networks; auto is cuda, else mps, else cpu", choices=DEVICES)


@dataclass(frozen=True)
class WeightsOptions(StoreOptions):
    """Options of every evaluation of trained weights."""

    checkpoints: tuple[Path, ...] = option(
        (Path("checkpoints"),), "folders, with commas, of hybrid_{G,cvae}_best_T{T}.pth, compared in one table"
    )
    checkpoint: Path | None = option(None, "other weights, in place of --checkpoints and --seq-len")
    allow_other_songs: bool = option(False, "accept weights that were trained on other songs than the store's")
    seq_lens: tuple[int, ...] = option(
        WINDOW_LENGTHS, "frames in a window (T); a T without weights is left out",
        choices=WINDOW_LENGTHS, flag="--seq-len",
    )  # fmt: skip


@dataclass(frozen=True)
class CvaeOptions(WeightsOptions):
    """Options that the evaluations of the CVAE share."""

    batch_size: int = option(512, "windows at a time; does not change the results", minimum=1, maximum=1_000_000)


@dataclass(frozen=True)
class DecodingOptions(CvaeOptions, PlayingOptions):
    """Options of evaluations in which the CVAE decodes without teacher forcing."""


@dataclass(frozen=True)
class RealClipOptions(StoreOptions):
    """Options of every evaluation with real clips."""

    min_note_frames: int = option(2, "drop notes of fewer frames, real and generated; 1 keeps all", minimum=1)


@dataclass(frozen=True)
class ClipOptions(RealClipOptions, WeightsOptions, ClipPlayingOptions):
    """Options of every evaluation of generated clips."""

    sources: tuple[str, ...] = option(
        ("generator",), "networks that play, with commas", choices=SOURCES, flag="--source"
    )
    latents: tuple[str, ...] = option(
        (PRIOR,), "latents, with commas: of N(0, I), of the prior (in preset paper the same), or of the encoder on "
        "training windows",
        choices=LATENTS,
    )  # fmt: skip
    exact: bool = option(True, "generate in float64 on the CPU: same clips on every machine; --no-exact: on the device")


@dataclass(frozen=True)
class AudioOptions(CheckedOptions):
    """Options of every evaluation of sound."""

    embedders: tuple[str, ...] = option(("ast",), "networks that embed the sound, with commas", choices=EMBEDDERS)
    ast_dir: Path | None = option(None, "folder with the weights of ast (default: the Hugging Face cache)")
    synth: str = option("fluidsynth", "synthesiser; results of different ones do not compare", choices=SYNTHS)
    soundfont: Path | None = option(None, "SoundFont, .sf2 (default: TimGM6mb.sf2, which pretty_midi ships)")
    cache: Path = option(Path("cache"), "folder of cached embeddings")
    device: str = option("auto", "device of the networks; auto is cuda, else mps, else cpu", choices=DEVICES)
    workers: int = option(0, "threads that render clips; 0 is one for each core", minimum=0, maximum=1024)
    batch_size: int = option(32, "clips to embed at a time", minimum=1)


@dataclass(frozen=True)
class EmptyClipOptions(CheckedOptions):
    """Treatment of clips without sound."""

    min_notes: int = option(1, "a clip of fewer notes counts as empty, real or generated", minimum=0)
    empty: str = option(REDRAWN, "redraw empty clips, or embed their silence; they are always counted", choices=EMPTY)


@dataclass(frozen=True)
class FadOptions(ClipOptions, AudioOptions, EmptyClipOptions):
    """The defaults are the report's protocol."""

    clips: int = option(200, "clips of each genre, real and generated", minimum=2, maximum=1_000_000)
    generation_seeds: int = option(3, "seeds of generation, for the spread; FAD is of the first", minimum=1)
    save_clips: Path | None = option(None, "folder to write all compared clips to, as MIDI and WAV files")
    floor_seeds: int = option(10, "random divisions of the real clips, for the floor", minimum=1)


@dataclass(frozen=True)
class DamageOptions(RealClipOptions, AudioOptions, EmptyClipOptions):
    """Options of this evaluation."""

    seq_lens: tuple[int, ...] = option(WINDOW_LENGTHS, "frames in a clip", choices=WINDOW_LENGTHS, flag="--seq-len")
    clips: int = option(200, "clips of each genre, in the reference and damaged", minimum=2, maximum=1_000_000)
    floor_seeds: int = option(50, "random divisions of the undamaged clips, for the standard deviation", minimum=2)


@dataclass(frozen=True)
class FormOptions(ClipOptions, AudioOptions):
    """Options of this evaluation."""

    minutes: int = option(4, "length of the pieces; real songs of at least this length count", minimum=1, maximum=60)
    pieces: int = option(6, "generated pieces of each genre", minimum=1, maximum=100_000)


@dataclass(frozen=True)
class ClassifierOptions(CheckedOptions):
    """Training of the genre classifier, and its cache."""

    classifier_steps: int = option(1200, "training steps of the genre classifier, 128 windows each", minimum=1)
    classifier_seed: int = option(0, "seed of the classifier's initial weights and batches", minimum=0)
    cache: Path = option(Path("cache"), "folder of cached classifiers")


@dataclass(frozen=True)
class LatentPlotOptions(StoreOptions):
    """Windows and projections."""

    checkpoints: tuple[Path, ...] = option(
        (Path("checkpoints"),), "folders, with commas, of cvae_pretrained_best.pth and hybrid_cvae_best_T{T}.pth"
    )
    allow_other_songs: bool = option(False, "accept weights that were trained on other songs than the store's")
    seq_len: int = option(32, "frames in a window (T)", choices=WINDOW_LENGTHS)
    split: str = option("train", "split of the songs to show", choices=SPLITS)
    windows: int = option(10_000, "windows to show; memory grows with their square", minimum=2)
    balanced: bool = option(True, "the same number of windows of each genre; --no-balanced: at random")
    latent: str = option(MEAN, "z to plot: the posterior mean, or a sample, the input of G", choices=(MEAN, SAMPLE))
    perplexity: float = option(5.0, "perplexity of t-SNE", minimum=1)
    neighbors: int = option(5, "neighbours that vote for a window's genre", minimum=1)
    batch_size: int = option(512, "windows at a time; changes results by rounding alone", minimum=1)

    def picture(self, name: str) -> Path:
        return self.metrics / f"{name}-T{self.seq_len}.png"

    @property
    def tsne(self) -> dict[str, Any]:
        return {"perplexity": self.perplexity, "init": "pca", "random_state": self.seed}
