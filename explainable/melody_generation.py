"""New melodies with given attributes, and melodies of files with changed ones."""

from fractions import Fraction
from itertools import islice
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from audio.files import open_file_renderer
from common.errors import UserError
from common.files import check_outputs
from common.text import printable, short_name
from evaluation.samples.sampling import walk_noise
from evaluation.tables import format_table
from explainable.attributes import attributes
from explainable.melodies.cut import cut
from explainable.melodies.sources import is_performed, own_files, read_tunes
from explainable.melodies.tunes import PERFORMED_TOLERANCE, Dropped, Note, Reading, Reason, Tune, TuneError
from explainable.melody_files import FRAMES_PER_SECOND, MEASURE_FRAMES, attribute_title, melody_roll, write_melodies
from explainable.options import MelodyOptions
from explainable.steering import REPORT_COLUMNS, Change, read_changes, report, steer, target_values
from explainable.tokens import TokenForm, decode
from explainable.trained import TrainedVAE, load_chosen
from figures.roll_sheet import RollPanel, SheetRows, save_roll_sheet

_METRES = "4/4", "2/2", "2/4"  # of a file; bars of two quarters are taken in pairs
_REMEDIES = {Reason.SEVERAL_VOICES: "see --guess-melody", Reason.OTHER_METRE: f"known are {', '.join(_METRES)}"}
_SHOWN, _PANEL_MEASURES = 48, 4  # melodies in the picture; measures of a changed melody in a panel
_TITLE_LETTERS = 72  # in a line of the narrowest picture


class Start(NamedTuple):
    """N rows before the change: z (N, latent), controls (N, n), attributes (N, 4), and a prefix of file names.

    `tokens` (N, length): of a file, transposed by `shift` semitones.
    """

    z: Tensor
    controls: np.ndarray
    attributes: np.ndarray
    name: str
    tokens: np.ndarray | None = None
    shift: int = 0
    remarks: tuple[str, ...] = ()


class Melodies(NamedTuple):
    """What to write: melodies by file name, and the picture that shows them; `name`: of the picture.

    `report`: what was reached, a row for each attribute; `remarks`: lines to print.
    """

    melodies: dict[str, list[Note]]
    name: str
    rows: SheetRows
    report: pd.DataFrame
    remarks: tuple[str, ...]


def generate_melodies(options: MelodyOptions) -> list[Path]:
    """Write melodies and a picture, and print what was reached; returns the files written, the picture last.

    Raises `UserError` or `CheckpointError` for unusable weights, files or options.
    """
    trained, renderer = load_chosen(options), open_file_renderer(options)
    made = make_melodies(options, trained)
    print(format_table(made.report, REPORT_COLUMNS), *made.remarks, sep="\n")
    files = [*write_melodies(options.output, made.melodies, renderer), write_sheet(options.output, made)]
    names = f"{len(files) - 1} files of {len(made.melodies)} melodies, and {files[-1].name}"
    print(f"{options.output}: {names} shows them")
    return files


def make_melodies(options: MelodyOptions, trained: TrainedVAE) -> Melodies:
    """New melodies, or a changed one.

    Raises `UserError` for unusable files and options, and as `check_outputs` for what will be written.
    """
    changes = read_changes(options.changes, trained)
    if options.source is None and any(change.is_relative for change in changes):
        raise UserError("=+ and =- change an existing melody; name it with --from, or give a value")
    start = _from_file(trained, options) if options.source else _from_prior(trained, options)
    name = start.name + _name_of_changes(changes, options)
    words = ["original", "changed"] if options.source else [f"{number:03d}" for number in range(options.count)]
    names, endings = [f"{name}_{word}" for word in words], (".mid", ".wav") if options.wav else (".mid",)
    outputs = [f"{name}_sheet.png", *(f"{each}{ending}" for each in names for ending in endings)]
    check_outputs([options.output / each for each in outputs], [options.source] if options.source else [])
    targets = target_values(changes, start.attributes, trained.form)
    tokens = steer(trained, start.z, start.controls, targets)
    reached = attributes(tokens, trained.form)
    if options.source:
        pairs = [(start.tokens, start.attributes), (tokens, reached)]
    else:
        pairs = zip(np.split(tokens, options.count), np.split(reached, options.count), strict=True)
    parts = dict(zip(words, pairs, strict=True))
    melodies = {f"{name}_{word}": decode(rows, trained.form, -start.shift) for word, (rows, _) in parts.items()}
    step = max(1, _PANEL_MEASURES // trained.form.measures) if options.source else None
    how = "its controls are dimensions of z" if trained.in_latent else "its controls are inputs of the decoder"
    remarks = [*start.remarks, f"means over {len(tokens)} decoded rows; {trained.run}: {how}"]
    if n_silent := sum(not notes for notes in melodies.values()):
        remarks.append(f"{n_silent} of the {len(melodies)} melodies have no notes, because the model decodes none")
    panels = _panels(parts, trained.form, start.shift, step)
    return Melodies(melodies, name, panels, report(start.attributes, targets, reached), tuple(remarks))


def write_sheet(folder: Path, made: Melodies) -> Path:
    """Write the picture of the melodies, and return its path."""
    path = folder / f"{made.name}_sheet.png"
    title = fill(made.name.replace("_", " "), _TITLE_LETTERS)
    save_roll_sheet(path, made.rows, title=title, frames_per_second=FRAMES_PER_SECOND, window_frames=MEASURE_FRAMES)
    return path


def _from_prior(trained: TrainedVAE, options: MelodyOptions) -> Start:
    """Latents of N(0, I), correlated between neighbouring measures; melody k of a seed does not depend on --count."""
    rows = -(-options.measures // trained.form.measures)
    noise = walk_noise(0, options.count, rows, trained.model.latent, options.seed, options.correlation)
    z = noise.flatten(0, 1).float()
    controls = trained.mean_controls(len(z))
    before = attributes(trained.decode(z, controls), trained.form)
    return Start(z, controls, before, f"{trained.file_name}_seed{options.seed}")


def _from_file(trained: TrainedVAE, options: MelodyOptions) -> Start:
    """The usable measures of a melody, encoded. Raises `UserError` if there are none."""
    form, tune = trained.form, _read_tune(options)
    tolerance = PERFORMED_TOLERANCE if is_performed(options.source) else Fraction(0)
    try:
        used = cut(tune, form, tolerance=tolerance, drop_tune_off_grid=False, keep_empty=False)
    except TuneError as error:
        raise _unusable(options, error.reason, error.detail) from error
    n_measures = len(used.tokens) * form.measures + sum(used.dropped.values())
    dropped = ((reason, count) for reason, count in used.dropped.items() if count)
    remarks = [f"{count} of {n_measures} measures left out: {reason}" for reason, count in dropped]
    before, z = attributes(used.tokens, form), trained.encode(used.tokens).mean
    controls = before[:, trained.columns]
    same = (trained.decode(z, controls) == used.tokens).mean()
    remarks.append(f"{printable(tune.name)}: {same:.1%} of the tokens are reconstructed without a change")
    name = f"{short_name(tune.name)}_{trained.file_name}"
    return Start(z, controls, before, name, used.tokens, used.shift, tuple(remarks))


def _read_tune(options: MelodyOptions) -> Tune:
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


def _unusable(options: MelodyOptions, reason: str, detail: str) -> UserError:
    remedy = _REMEDIES.get(reason, "name another file or --tune")
    why = f"{reason} ({detail})" if detail else reason
    return UserError(f"{options.source}: tune {options.tune} cannot be used: {why}; {remedy}")


def _name_of_changes(changes: list[Change], options: MelodyOptions) -> str:
    """The changes as a part of file names, so that another command writes other files."""
    words = [f"{field.name}{getattr(options, field.name):g}" for field in options.changed(("measures", "correlation"))]
    words += [f"{change.name.split('_')[-1]}{change.value:{'+' * change.is_relative}g}" for change in changes]
    return "".join(f"_{word}" for word in words)


def _panels(
    parts: dict[str, tuple[np.ndarray, np.ndarray]], form: TokenForm, shift: int, step: int | None
) -> list[list[RollPanel]]:
    """A list of panels for every `step` rows (None: all rows), with a panel for each of `parts`."""
    n_rows = len(next(iter(parts.values()))[0])
    size = step or n_rows

    def panel(word: str, rows: np.ndarray, values: np.ndarray, first: int) -> RollPanel:
        part = slice(first, first + size)
        roll = melody_roll(decode(rows[part], form, -shift), size * form.measures)
        title = f"{word} {first + 1}" if step else word
        return RollPanel(f"{title}\n{attribute_title(values[part].mean(axis=0))}", roll)

    shown = list(islice(parts.items(), _SHOWN))
    firsts = range(0, min(n_rows, _SHOWN * size), size)
    return [[panel(word, *part, first) for word, part in shown] for first in firsts]
