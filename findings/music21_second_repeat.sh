#!/bin/sh
# music21 10.5.1 plays a tune from its beginning again at a second repeat sign that has no sign of its beginning.
#
# Guess: expandRepeats() goes back to the end of the repeat before it, as players of folk tunes do: |: A :| B :| sounds
# A A B B.
# Observed: it gives A A B A A B, the first repeat included once more. With |: before B it gives A A B B.
# Exits with 1 where the behaviour differs.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" music21==10.5.1
PYTHONPATH=$folder "${PYTHON:-python3}" - <<'CODE'
from music21 import VERSION_STR, converter


def played(bars: str) -> str:
    score = converter.parse(f"X:1\nT:two parts of two bars\nM:4/4\nL:1/4\nK:C\n{bars}\n", format="abc")
    return " ".join(note.name for note in score.parts[0].expandRepeats().flatten().notes)


observed = played("|:A4|c4:|\nB4|d4:|"), played("|:A4|c4:|\n|:B4|d4:|")
print("music21", VERSION_STR, observed)
raise SystemExit(observed != ("A C A C B D A C A C B D", "A C A C B D B D"))
CODE
