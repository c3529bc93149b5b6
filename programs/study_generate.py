"""Measures and melodies with the attributes one asks for, new ones or one's own: MIDI files, sound, and a picture.

    python -m programs.study_generate --set note_density=0.4 rhythmic_complexity=0.2 --count 8
    python -m programs.study_generate --set note_density=0.5 --measures 4 --wav     # melodies of four measures
    python -m programs.study_generate --from tune.mid --set note_density=+0.1,note_range=0.3
    python -m programs.study_generate --weights checkpoints/explainable/irish_folk/RUN/vae_best.pth

Attributes: rhythmic_complexity and note_density (0 to 1), note_range (semitones / 26), average_interval_jump
(semitones). With --from, the measures of a melody (ABC, MIDI, MusicXML as .mxl) are encoded, changed and decoded, and
=+0.1 or =-0.1 changes a value by that much. A decoder need not do what it is asked: the table says what it did. Files
are named after the model and what is asked, as in irish_folk_attribute_vae_seed0_density0.4_complexity0.2_000.mid.
"""

import sys
from collections.abc import Sequence
from dataclasses import Field, dataclass, fields
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from audio.files import SoundFileOptions
from common.errors import UserError, run_command
from common.options import flag_of, option, parse_options
from common.text import printable, short_name
from evaluation.samples.sampling import walk_noise
from evaluation.tables import format_table
from explainable.attributes import attributes
from explainable.melodies.cut import cut
from explainable.melodies.sources import PERFORMED_TOLERANCE, is_performed, own_files, read_tunes
from explainable.melodies.tunes import Dropped, Note, Reading, Reason, Tune, TuneError
from explainable.melody_files import FRAMES_PER_SECOND, MEASURE_FRAMES, attribute_title, melody_roll, write_melodies
from explainable.steering import REPORT_COLUMNS, Change, asked_values, read_changes, report, steer
from explainable.tokens import decode
from explainable.trained import StudyWeightsOptions, TrainedVAE
from figures.roll_sheet import RollPanel, save_roll_sheet
from models.checkpoint import CheckpointError

_METRES = "4/4", "2/2", "2/4"  # of a file: bars of two quarters are taken in pairs
_REMEDIES_OF_FILES = {
    Reason.SEVERAL_VOICES: "see --guess-melody",
    Reason.OTHER_METRE: f"known are {', '.join(_METRES)}",
}
_SHOWN = 48  # melodies in a picture
_PANEL_MEASURES = 4  # of a melody that is changed, in a panel
_MOST_MEASURES = 100_000  # of all melodies together
_OF_NEW, _OF_SOURCE = ("count", "measures", "correlation", "seed"), ("tune", "guess_melody")


@dataclass(frozen=True)
class Options(SoundFileOptions, StudyWeightsOptions):
    """What to make, and with which model."""

    changes: tuple[str, ...] = option((), "attributes and values, as in note_density=0.6", flag="--set")
    count: int = option(8, "measures, or melodies", minimum=1, maximum=100_000)
    measures: int = option(1, "measures in a row", minimum=1, maximum=10_000)
    correlation: float = option(
        0.9, "of the latents of neighbouring measures: 0 unrelated, 1 equal", minimum=0, maximum=1
    )
    source: Path | None = option(None, "file of a melody to change, in place of new ones", flag="--from")
    tune: int = option(1, "which tune of that file, from 1", minimum=1)
    guess_melody: bool = option(False, "take the melody out of a MIDI file of several parts")
    seed: int = option(0, "decides z of new measures", minimum=0)

    def __post_init__(self) -> None:
        """Raises `UserError` also where options do not go together."""
        super().__post_init__()
        unused = self.changed(_OF_NEW if self.source else _OF_SOURCE)
        if unused:
            remedy = "is of new melodies; leave out it or --from" if self.source else "needs --from"
            raise UserError(f"{flag_of(unused[0])} {remedy}")
        if self.count * self.measures > _MOST_MEASURES:
            asked = f"--count {self.count} times --measures {self.measures}"
            raise UserError(f"{asked} must be at most {_MOST_MEASURES}; make more with another --seed")

    def changed(self, names: Sequence[str]) -> list[Field[Any]]:
        """Those of the named options that differ from their defaults."""
        return [field for field in fields(self) if field.name in names and getattr(self, field.name) != field.default]


class Made(NamedTuple):
    """Melodies by the names of their files, panels to show, and attributes (N, 4) before, asked and reached."""

    melodies: dict[str, list[Note]]
    panels: list[list[RollPanel]]
    attributes: tuple[np.ndarray, np.ndarray, np.ndarray]
    name: str


def generate(options: Options) -> list[Path]:
    """Make what is asked for and print what was reached; returns the files written, the picture last.

    Raises `UserError` or `CheckpointError` with a sentence where something is missing.
    """
    trained = options.load()
    changes = read_changes(options.changes, trained)
    if options.source is None and any(change.is_relative for change in changes):
        raise UserError("=+ and =- change a melody that is there; name it with --from, or ask for a value")
    renderer = options.open_renderer()
    made = (change_tune if options.source else new_melodies)(trained, changes, options)
    print(format_table(report(*made.attributes), REPORT_COLUMNS))
    how = "moves its dimensions of z" if trained.in_latent else "tells its decoder"
    print(f"means over {len(made.attributes[0])} rows as decoded; {trained.run} {how}")
    files = write_melodies(options.output, made.melodies, renderer)
    picture = options.output / f"{made.name}_sheet.png"
    save_roll_sheet(
        picture, made.panels, title=made.name, frames_per_second=FRAMES_PER_SECOND, window_frames=MEASURE_FRAMES
    )
    n_silent = sum(not notes for notes in made.melodies.values())
    if n_silent:
        print(f"{n_silent} of the {len(made.melodies)} melodies have no notes, because the model decodes none")
    print(f"{options.output}: {len(files)} files of {len(made.melodies)} melodies, and {picture.name} shows them")
    return [*files, picture]


def new_melodies(trained: TrainedVAE, changes: list[Change], options: Options) -> Made:
    """Melodies from z ~ N(0, I), those of neighbouring measures alike; melody k of a seed is the same in any number."""
    form = trained.form
    rows = -(-options.measures // form.measures)
    noise = walk_noise(0, options.count, rows, trained.model.latent, options.seed, options.correlation)
    z = noise.flatten(0, 1).float()
    own = trained.mean_controls(len(z))
    before = attributes(trained.decode(z, own), form)
    asked = asked_values(changes, before, form)
    tokens = steer(trained, z, own, asked)
    reached = attributes(tokens, form)
    name = f"{trained.file_name}_seed{options.seed}{_name_of_asked(changes, options)}"
    melodies = {
        f"{name}_{number:03d}": decode(part, form) for number, part in enumerate(np.split(tokens, options.count))
    }
    means = reached.reshape(options.count, rows, -1).mean(axis=1)
    panels = [
        RollPanel(f"{melody[-3:]}\n{attribute_title(mean)}", melody_roll(notes, rows * form.measures))
        for (melody, notes), mean in zip(islice(melodies.items(), _SHOWN), means, strict=False)
    ]
    return Made(melodies, [panels], (before, asked, reached), name)


def change_tune(trained: TrainedVAE, changes: list[Change], options: Options) -> Made:
    """A melody through the model and back, other attributes asked: the measures that can be used, one after the other.

    Raises `UserError` where none can be.
    """
    form, path = trained.form, options.source
    tune = _read_tune(options)
    tolerance = PERFORMED_TOLERANCE if is_performed(path) else Fraction(0)
    try:
        used = cut(tune, form, tolerance=tolerance, drop_tune_off_grid=False, keep_empty=False)
    except TuneError as error:
        raise _unusable(options, error.reason, error.detail) from error
    n_measures = len(used.tokens) * form.measures + sum(used.dropped.values())
    for reason, count in used.dropped.items():
        if count:
            print(f"{count} of {n_measures} measures left out: {reason}")
    before = attributes(used.tokens, form)
    asked, own = asked_values(changes, before, form), before[:, trained.columns]
    z = trained.encode(used.tokens).mean
    same = (trained.decode(z, own) == used.tokens).mean()
    print(f"{printable(tune.name)}: {same:.1%} of the tokens come back where nothing is asked")
    tokens = steer(trained, z, own, asked)
    reached = attributes(tokens, form)
    name = f"{short_name(tune.name)}_{trained.file_name}{_name_of_asked(changes, options)}"
    versions = {"original": (used.tokens, before), "changed": (tokens, reached)}
    melodies = {f"{name}_{word}": decode(rows, form, -used.shift) for word, (rows, _) in versions.items()}
    step = max(1, _PANEL_MEASURES // form.measures)
    panels = [
        [
            RollPanel(
                f"{word} {first + 1}\n{attribute_title(values[first : first + step].mean(axis=0))}",
                melody_roll(decode(rows[first : first + step], form, -used.shift), step * form.measures),
            )
            for word, (rows, values) in versions.items()
        ]
        for first in range(0, min(len(tokens), _SHOWN * step), step)
    ]
    return Made(melodies, panels, (before, asked, reached), name)


def _name_of_asked(changes: list[Change], options: Options) -> str:
    """What is asked as part of a file's name, so that another call does not write to the same files."""
    words = [f"{field.name}{getattr(options, field.name):g}" for field in options.changed(("measures", "correlation"))]
    words += [f"{change.name.split('_')[-1]}{change.value:{'+' * change.is_relative}g}" for change in changes]
    return "".join(f"_{word}" for word in words)


def _read_tune(options: Options) -> Tune:
    path = options.source
    if path.is_dir():
        raise UserError(f"{path}: a folder; name one file of a melody")
    reading = Reading(_METRES, guess_melody=options.guess_melody)
    found = [tune for _, tune in islice(read_tunes(own_files(path), reading), options.tune)]
    if len(found) < options.tune:
        raise UserError(f"{path}: holds {len(found)} tunes; name another with --tune")
    if isinstance(found[-1], Dropped):
        raise _unusable(options, found[-1].reason, found[-1].detail)
    return found[-1]


def _unusable(options: Options, reason: str, detail: str) -> UserError:
    remedy = _REMEDIES_OF_FILES.get(reason, "name another file or --tune")
    why = f"{reason} ({detail})" if detail else reason
    return UserError(f"{options.source}: tune {options.tune} cannot be used: {why}; {remedy}")


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line on which what is to be set stands with commas or with spaces."""
    words: list[str] = []
    for word in sys.argv[1:] if arguments is None else arguments:
        if "=" in word and not word.startswith("-") and words[-2:-1] == ["--set"]:
            words[-1] += f",{word}"
        else:
            words.append(word)
    return parse_options(Options, __doc__ or "", words)


if __name__ == "__main__":
    run_command(lambda: generate(read_options()), CheckpointError)
