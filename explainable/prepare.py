"""Make a data set of measures from files of tunes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError
from common.splits import SPLITS
from common.text import printable
from explainable.attributes import attributes
from explainable.measures import MeasureSet, write_measures
from explainable.melodies import sources
from explainable.melodies.cut import Cut, cut
from explainable.melodies.tune_splits import assign_tune_splits
from explainable.melodies.tunes import Dropped, Reading, Tune, TuneError
from explainable.options import MeasureSettings
from explainable.tokens import TokenForm


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
