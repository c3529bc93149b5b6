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

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from common.errors import run_command
from common.options import parse_options
from explainable.options import PrepareOptions


def prepare(options: PrepareOptions) -> None:
    """Make the data set and print its counts. Raises `UserError`."""
    from explainable.melodies import sources
    from explainable.prepare import prepare_measures, summary

    started = time.perf_counter()
    files = sources.own_files(options.input) if options.input else sources.builtin_files(options.name or "")
    name = options.name or (options.input.stem if options.input else "")
    folder = options.out or Path("measures") / name
    measures = prepare_measures(files, folder, options.token_form, options.settings, name=name)
    print(summary(measures))
    seconds = time.perf_counter() - started
    print(f"{folder}: made in {seconds:.1f} s; dropped tunes and reasons: {folder / 'dropped.csv'}")


def read_options(arguments: Sequence[str] | None = None) -> PrepareOptions:
    """The options of a command line whose first word may be the name of a data set."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and not words[0].startswith("-"):
        words.insert(0, "--name")
    return parse_options(PrepareOptions, __doc__ or "", words)


if __name__ == "__main__":
    run_command(lambda: prepare(read_options()))
