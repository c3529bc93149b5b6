"""New melodies with given attributes, and melodies of files with changed ones."""

from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
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
from explainable.melodies.tunes import PERFORMED_TOLERANCE, Dropped, Reading, Reason, Tune, TuneError
from explainable.melody_files import FRAMES_PER_SECOND, MEASURE_FRAMES, attribute_title, melody_roll, write_melodies
from explainable.options import MelodyOptions
from explainable.steering import REPORT_COLUMNS, Change, read_changes, report, steer, target_values
from explainable.tokens import TokenForm, decode
from explainable.trained import TrainedVAE, load_chosen
from figures.roll_sheet import RollPanel, save_roll_sheet

_METRES = "4/4", "2/2", "2/4"  # of a file; bars of two quarters are taken in pairs
_REMEDIES = {Reason.SEVERAL_VOICES: "see --guess-melody", Reason.OTHER_METRE: f"known are {', '.join(_METRES)}"}
_SHOWN, _PANEL_MEASURES = 48, 4  # melodies in the picture; measures of a changed melody in a panel


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


def generate_melodies(options: MelodyOptions) -> list[Path]:
    """Write melodies and a picture, and print what was reached; returns the files written, the picture last.

    Raises `UserError` or `CheckpointError` for unusable weights, files or options.
    """
    trained = load_chosen(options)
    changes = read_changes(options.changes, trained)
    if options.source is None and any(change.is_relative for change in changes):
        raise UserError("=+ and =- change an existing melody; name it with --from, or give a value")
    renderer = open_file_renderer(options)
    start = _from_file(trained, options) if options.source else _from_prior(trained, options)
    name = start.name + _name_of_changes(changes, options)
    words = ["original", "changed"] if options.source else [f"{number:03d}" for number in range(options.count)]
    picture = options.output / f"{name}_sheet.png"
    endings = (".mid",) if renderer is None else (".mid", ".wav")
    outputs = [picture, *(options.output / f"{name}_{word}{ending}" for word in words for ending in endings)]
    check_outputs(outputs, [options.source] if options.source else [])
    targets = target_values(changes, start.attributes, trained.form)
    tokens = steer(trained, start.z, start.controls, targets)
    reached = attributes(tokens, trained.form)
    print(format_table(report(start.attributes, targets, reached), REPORT_COLUMNS))
    how = "its controls are dimensions of z" if trained.in_latent else "its controls are inputs of the decoder"
    print(f"means over {len(tokens)} decoded rows; {trained.run}: {how}")

    if options.source:
        pairs = [(start.tokens, start.attributes), (tokens, reached)]
    else:
        pairs = zip(np.split(tokens, options.count), np.split(reached, options.count), strict=True)
    parts = dict(zip(words, pairs, strict=True))
    melodies = {f"{name}_{word}": decode(rows, trained.form, -start.shift) for word, (rows, _) in parts.items()}
    files = write_melodies(options.output, melodies, renderer)
    step = max(1, _PANEL_MEASURES // trained.form.measures) if options.source else None
    panels = _panels(parts, trained.form, start.shift, step)
    save_roll_sheet(picture, panels, title=name, frames_per_second=FRAMES_PER_SECOND, window_frames=MEASURE_FRAMES)
    n_silent = sum(not notes for notes in melodies.values())
    if n_silent:
        print(f"{n_silent} of the {len(melodies)} melodies have no notes, because the model decodes none")
    print(f"{options.output}: {len(files)} files of {len(melodies)} melodies, and {picture.name} shows them")
    return [*files, picture]


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
    for reason, count in used.dropped.items():
        if count:
            print(f"{count} of {n_measures} measures left out: {reason}")
    before, z = attributes(used.tokens, form), trained.encode(used.tokens).mean
    controls = before[:, trained.columns]
    same = (trained.decode(z, controls) == used.tokens).mean()
    print(f"{printable(tune.name)}: {same:.1%} of the tokens are reconstructed without a change")
    return Start(z, controls, before, f"{short_name(tune.name)}_{trained.file_name}", used.tokens, used.shift)


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
