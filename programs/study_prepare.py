"""Turn melodies into a data set of measures, which training and evaluation of the explainable models read.

    python -m programs.study_prepare irish_folk                  # from the music21 package
    python -m programs.study_prepare bach
    python -m programs.study_prepare pop --input pop909_melodies
    python -m programs.study_prepare --input my_tunes --out measures/mine --metres 4/4,2/2
    python -m programs.study_prepare irish_folk --form phrase    # AdversarialVAE's published form: 64 tokens

Tunes are read from ABC, MIDI and MusicXML files (.mxl, .musicxml, .xml) and from a table of makam music (.tsv). They
are split about 70/20/10 into train, val and test (whole tunes, with all their versions) and cut into measures of 4/4.
A tune that cannot be used is listed with its reason in dropped.csv; the others are not affected.
"""

import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError, run_command
from common.options import CheckedOptions, option, parse_options
from common.splits import SPLITS
from common.text import printable
from explainable.attributes import attributes
from explainable.measures import MeasureSet, write_measures
from explainable.melodies import sources
from explainable.melodies.cut import Cut, cut
from explainable.melodies.sources import NAMED_SETS, PERFORMED_TOLERANCE, named_set
from explainable.melodies.tune_splits import assign_tune_splits
from explainable.melodies.tunes import Dropped, Reading, Tune, TuneError, bar_quarters
from explainable.tokens import FORMS, TokenForm


@dataclass(frozen=True)
class MeasureSettings:
    """The settings that, with the files, decide the content of a data set. `tolerance`: in beats, for MIDI files."""

    metres: tuple[str, ...] = ("4/4",)
    repeats: bool = True
    guess_melody: bool = False
    tolerance: float = float(PERFORMED_TOLERANCE)
    off_grid: str = "auto"
    keep_empty: bool = False
    transpose: bool = True
    reader_version: int = 1  # part of the content hash of every set, also of those that shipped weights name


@dataclass(frozen=True)
class Options(CheckedOptions):
    """The files of a data set, and how they become measures."""

    name: str | None = option(None, f"{', '.join(NAMED_SETS)}; also as the first word, without the flag")
    input: Path | None = option(None, "folder or file of melodies; default: NAME's files in music21")
    out: Path | None = option(None, "folder to write; default: measures/NAME")
    form: str = option("measure", "rows of one measure, or of four in sixteenths", choices=tuple(FORMS))
    lowest: int | None = option(None, "lowest MIDI pitch; default: the form's", minimum=0, maximum=127)
    highest: int | None = option(None, "highest MIDI pitch; default: the form's", minimum=0, maximum=127)
    metres: tuple[str, ...] = option((), "accepted metres, of 4 or 2 quarters a bar; default: 4/4 (pop: 4/4,2/4)")
    repeats: bool = option(True, "play out repeats and endings")
    guess_melody: bool = option(False, "guess which part of a MIDI file is the melody")
    tolerance: float = option(
        float(PERFORMED_TOLERANCE), "largest distance of an onset of a MIDI file from its tick, in beats",
        minimum=0, maximum=0.125,
    )  # fmt: skip
    off_grid: str = option(
        "auto",
        "what to drop for an onset off the grid; auto: the tune (ABC, MusicXML) or the measure (others)",
        choices=("auto", "tune", "measure"),
    )
    keep_empty: bool = option(False, "keep measures in which no note begins")
    transpose: bool = option(True, "train on every transposition inside the range (phrases: 5 down to 6 up)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name is None and self.input is None:
            raise UserError(f"give the name of a data set ({', '.join(NAMED_SETS)}), or --input FOLDER_OR_FILE")
        if self.name is not None:
            named_set(self.name)
        for metre in self.metres:
            if not re.fullmatch("[0-9]+/0*[1-9][0-9]*", metre) or bar_quarters(metre) not in (2, 4):
                raise UserError(f"--metres takes metres of 4 or 2 quarters a bar, as in 4/4,2/2,2/4, but got {metre!r}")
        form = self.token_form
        if form.lowest >= form.highest:
            raise UserError(f"--lowest {form.lowest} must be below --highest {form.highest}")

    @property
    def token_form(self) -> TokenForm:
        form = FORMS[self.form]
        lowest = form.lowest if self.lowest is None else self.lowest
        return replace(form, lowest=lowest, highest=form.highest if self.highest is None else self.highest)

    @property
    def settings(self) -> MeasureSettings:
        """The settings, with the metres of the named set where none are given."""
        metres = self.metres or (named_set(self.name).metres if self.name else ("4/4",))
        return MeasureSettings(
            metres, self.repeats, self.guess_melody, self.tolerance, self.off_grid, self.keep_empty, self.transpose
        )


def prepare_measures(
    files: Sequence[Path], folder: Path, form: TokenForm, settings: MeasureSettings | None = None, *, name: str = ""
) -> MeasureSet:
    """Make a data set in `folder` from files of tunes. The same files and settings give the same bytes.

    `name` of the set: by default that of the folder. Raises `UserError` if no measure is left, or if the folder holds
    something else.
    """
    settings = settings or MeasureSettings()
    tunes, cuts, dropped = _read(files, form, settings)
    reasons = Counter(dropped["reason"])
    if not tunes:
        if dropped.empty:
            raise UserError("no tune was found in the files")
        ((reason, times),) = reasons.most_common(1)
        detail = dropped["detail"][dropped["reason"] == reason].iloc[0]
        why = f"{reason} ({detail})" if detail else reason
        raise UserError(f"no measure is left of {len(dropped)} tunes, for this reason most often ({times}): {why}")
    table = pd.DataFrame(
        {
            "name": [tune.name for tune in tunes],
            "title": [tune.title for tune in tunes],
            "split": assign_tune_splits(tunes),
            "shift": [own.shift for own in cuts],
            "lowest_shift": [own.shifts[0] for own in cuts],
            "highest_shift": [own.shifts[1] for own in cuts],
            "rows": [len(own.tokens) for own in cuts],
        }
    )
    tokens = np.concatenate([own.tokens for own in cuts])
    arrays = {
        "tokens": tokens,
        "attributes": attributes(tokens, form),
        "tune": np.repeat(np.arange(len(tunes)), table["rows"]),
        "number": np.concatenate([own.number for own in cuts]),
    }
    lost = sum((Counter(own.dropped) for own in cuts), Counter())
    in_training = table[table["split"] == "train"]
    copies = in_training["highest_shift"] - in_training["lowest_shift"] + 1
    info = {
        "name": name or folder.name,
        "form": form.as_plain(),
        "vocabulary": form.vocabulary,
        "settings": {**asdict(settings), "metres": list(settings.metres)},
        "counts": {
            "tunes": len(tunes),
            "tunes_dropped": dict(reasons.most_common()),
            "rows": len(tokens),
            "measures_dropped": dict(lost.most_common()),
            "tunes_of_split": {split: int((table["split"] == split).sum()) for split in SPLITS},
            "rows_of_split": {split: int(table["rows"][table["split"] == split].sum()) for split in SPLITS},
            "training_rows_transposed": int((in_training["rows"] * copies).sum()),
            "hold_share": round(float((tokens == form.hold).mean()), 6),
        },
    }
    return write_measures(folder, info, arrays, table, dropped)


def _read(
    files: Sequence[Path], form: TokenForm, settings: MeasureSettings
) -> tuple[list[Tune], list[Cut], pd.DataFrame]:
    """The tunes that can be used, their rows, and a table of the others: tune, reason, detail."""
    tunes: list[Tune] = []
    cuts: list[Cut] = []
    dropped: list[tuple[str, str, str]] = []
    performed_tolerance = Fraction(settings.tolerance).limit_denominator(1 << 10)
    for path, tune in sources.read_tunes(files, Reading(settings.metres, settings.repeats, settings.guess_melody)):
        if isinstance(tune, Dropped):
            dropped.append((tune.name, tune.reason, tune.detail))
            continue
        tolerance = performed_tolerance if sources.is_performed(path) else Fraction(0)
        whole = sources.drops_tune_off_grid(path) if settings.off_grid == "auto" else settings.off_grid == "tune"
        try:
            cuts.append(cut(tune, form, tolerance=tolerance, drop_tune_off_grid=whole, keep_empty=settings.keep_empty))
            tunes.append(tune)
        except TuneError as error:
            dropped.append((tune.name, error.reason, error.detail))
    return tunes, cuts, pd.DataFrame(dropped, columns=["tune", "reason", "detail"])


def summary(measures: MeasureSet) -> str:
    """The counts of a data set and the reasons for what was dropped, as text."""
    counts = measures.info["counts"]
    unit = "measures" if measures.form.measures == 1 else f"rows of {measures.form.measures} measures"
    lines = [f"{printable(measures.name)}: {counts['tunes']:,} tunes, {counts['rows']:,} {unit}"]
    for split in SPLITS:
        tunes, rows = counts["tunes_of_split"][split], counts["rows_of_split"][split]
        copies = f", {counts['training_rows_transposed']:,} transposed" if split == "train" else ""
        lines.append(f"  {split:<6}{tunes:>7,} tunes {rows:>9,} {unit}{copies}")
    for what, reasons in (("tunes", counts["tunes_dropped"]), ("measures", counts["measures_dropped"])):
        lines += [f"  {count:,} {what} dropped: {printable(reason)}" for reason, count in reasons.items()]
    lines.append(f"  {100 * counts['hold_share']:.1f} % of the tokens are hold: the floor of any accuracy")
    return "\n".join(lines)


def prepare(options: Options) -> None:
    """Make the data set and print its counts. Raises `UserError`."""
    started = time.perf_counter()
    files = sources.own_files(options.input) if options.input else sources.builtin_files(options.name or "")
    name = options.name or (options.input.stem if options.input else "")
    folder = options.out or Path("measures") / name
    measures = prepare_measures(files, folder, options.token_form, options.settings, name=name)
    print(summary(measures))
    seconds = time.perf_counter() - started
    print(f"{folder}: made in {seconds:.1f} s; dropped tunes and reasons: {folder / 'dropped.csv'}")


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line whose first word may be the name of a data set."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and not words[0].startswith("-"):
        words.insert(0, "--name")
    return parse_options(Options, __doc__ or "", words)


if __name__ == "__main__":
    run_command(lambda: prepare(read_options()))
