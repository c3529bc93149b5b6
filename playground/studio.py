"""What the controls of the page make: music, changed files, scores and melodies. It knows nothing of the page."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from audio.files import write_roll_files
from audio.synthesis import open_renderer
from common.errors import UserError
from common.options import command_line
from data.song import FRAMES_PER_SECOND
from data.song_windows import read_song_roll
from evaluation.metrics.song_scores import open_scoring, score_song
from evaluation.options import SOURCES, ScoringOptions
from evaluation.samples.sampling import sample_noise
from explainable.attributes import attributes
from explainable.melody_files import write_melodies
from explainable.melody_generation import make_melodies
from explainable.melody_generation import write_sheet as write_melody_sheet
from explainable.options import MelodyOptions, StudyWeightsOptions
from explainable.trained import load_vae
from figures.score_sheet import save_score_sheet
from generation.files import make_music, write_sheet
from generation.music import Load, load_player
from generation.options import Options as MusicOptions
from models.names import LARGE
from models.trained import Trained, load
from models.weight_files import find_study_weights, folder_of, hybrid_path
from playground.options import Options

MARKED_NOTES = 10  # most surprising notes in the picture and the table of a score
_FILE_OPTIONS = ("continue_file", "reconstruct", "infill", "vary")
_SLIDER_ROWS, _SLIDER_SHARES = 512, (0.02, 0.5, 0.98)  # sampled measures; quantiles of an attribute


class Made(NamedTuple):
    """Files of one click, the remarks on them, and the command that makes the same; the picture comes last."""

    sound: Path
    midi: list[Path]
    remarks: str
    command: str
    picture: Path | None = None
    report: pd.DataFrame | None = None


class Scored(NamedTuple):
    """The picture, tables and likeliest genre of a scored file, and the command that makes the same."""

    picture: Path
    genres: pd.DataFrame
    notes: pd.DataFrame
    genre: str
    command: str


class SliderRange(NamedTuple):
    """Lowest, middle and highest value of an attribute."""

    low: float
    middle: float
    high: float


class Studio:
    """Networks and a synthesiser that all users share, and what is made with them.

    Methods write to a folder of the caller, may run in several threads, and change nothing of the studio. They raise
    `UserError` or `CheckpointError` for unusable files, settings or weights.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        # A training that begins meanwhile changes neither the folder nor the networks.
        self._folder, self._load = options.checkpoints or folder_of(LARGE), _load_once()
        self._renderer = open_renderer(options.synth, options.soundfont)
        of_folder = replace(self._music_options(), checkpoints=self._folder)
        # A folder of train_prior has no generator.
        generator = hybrid_path(self._folder, SOURCES[0], MusicOptions.seq_len)
        self.sources = SOURCES if generator.exists() else SOURCES[1:]
        players = [load_player(of_folder, name, SOURCES, self._load) for name in self.sources]
        self.genres, self.window_seconds = players[0].genres, players[0].seq_len / players[0].frames_per_second
        self.condition = players[0].condition
        several = "name one with --study-weights"
        weights = options.study_weights or find_study_weights(StudyWeightsOptions.checkpoints, None, several)
        self._melodies = load_vae(weights)
        self.sliders = self._slider_ranges()

    def music(self, folder: Path, **settings: Any) -> Iterator[Made]:
        """One piece, by the `settings` of `generation.options.Options`: new, or of the file that they name."""
        options = self._music_options(**settings)
        for name in _FILE_OPTIONS:
            if path := getattr(options, name):
                self.read(path)
        music = make_music(replace(options, output=folder, checkpoints=self._folder), self._load)
        paths = write_roll_files(folder, music.rolls, music.trained.frames_per_second, self._renderer)
        midi, sounds = paths[: len(music.rolls)], paths[len(music.rolls) :]
        names = {name: Path(path.name) for name in _FILE_OPTIONS if (path := getattr(options, name))}
        command = command_line("generate.py", replace(options, **names))
        made = Made(sounds[-1], midi, "\n".join(music.remarks), command)
        yield made
        yield made._replace(picture=write_sheet(folder, music))

    def melody(self, folder: Path, seed: int, measures: int, targets: Mapping[str, float]) -> Iterator[Made]:
        """A melody with given values of some of the attributes of `sliders`."""
        changes = tuple(f"{name}={value:.3g}" for name, value in targets.items())
        options = MelodyOptions(
            changes=changes, count=1, measures=measures, seed=seed, wav=True, weights=self.options.study_weights,
            synth=self.options.synth, soundfont=self.options.soundfont,
        )  # fmt: skip
        made = make_melodies(replace(options, output=folder), self._melodies)
        midi, sound = write_melodies(folder, made.melodies, self._renderer)
        command = command_line("-m programs.study_generate", options)
        melody = Made(sound, [midi], "\n".join(made.remarks), command, report=made.report)
        yield melody
        yield melody._replace(picture=write_melody_sheet(folder, made))

    def score(self, folder: Path, path: Path, seed: int = 0) -> Scored:
        """The score of a MIDI file, and its picture."""
        options = ScoringOptions(checkpoints=self.options.checkpoints, seed=seed)
        scoring = open_scoring(replace(options, checkpoints=self._folder, device="cpu"), self._load)
        found, picture = score_song(scoring, self.read(path)), folder / f"{path.stem}.png"
        title = f"{path.name}: {found.genre}"
        save_score_sheet(picture, found.curve, found.notes, scoring.trained.genres, title=title, marked=MARKED_NOTES)
        command = f"{command_line('score.py', options)} {shlex.quote(path.name)}"
        return Scored(picture, found.genres, found.notes.head(MARKED_NOTES), found.genre, command)

    def read(self, path: Path) -> np.ndarray:
        """The piano roll of a MIDI file, bool (128, n_frames). Raises `UserError` if it is unusable or too long."""
        roll = read_song_roll(path)
        minutes = roll.shape[1] / FRAMES_PER_SECOND / 60
        if minutes > self.options.minutes:
            raise UserError(
                f"{path.name}: lasts {minutes:.1f} minutes, more than the {self.options.minutes:g} of --minutes"
            )
        return roll

    def warm(self) -> None:
        """Make a piece and a melody once, because the first of a process takes longer."""
        with TemporaryDirectory() as folder:
            for made in (self.music(Path(folder)), self.melody(Path(folder), 0, 1, {})):
                list(made)

    def _music_options(self, **settings: Any) -> MusicOptions:
        options = self.options
        common = {"checkpoints": options.checkpoints, "synth": options.synth, "soundfont": options.soundfont}
        return MusicOptions(**{"genre": "0", "count": 1, "wav": True, **common, **settings})

    def _slider_ranges(self) -> dict[str, SliderRange]:
        """By attribute that the model controls: quantiles over measures that it decodes."""
        trained, n = self._melodies, _SLIDER_ROWS
        z = sample_noise(0, n, trained.model.latent, 0).float()
        values = attributes(trained.decode(z, trained.mean_controls(n)), trained.form)[:, trained.columns]
        found = np.quantile(values, _SLIDER_SHARES, axis=0).T.astype(float).round(2)
        return dict(zip(trained.attributes, (SliderRange(*each) for each in found.tolist()), strict=True))


def _load_once() -> Load:
    """`load` that keeps the networks; its errors name the option of the page."""
    kept = cache(load)

    def load_kept(path: Path, kind: str, _: str, **checked: Any) -> Trained:
        return kept(path, kind, "name a folder of weights for T = 128 with --checkpoints", **checked)

    return load_kept
