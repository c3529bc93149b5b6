#!/usr/bin/env bash
# music21 moves notes of a MIDI file whose onsets lie exactly on its default grid, where a chord crosses a bar line.
#
# Guess: music21 quantises MIDI to sixteenths and triplets, so onsets on sixteenths are read where they are.
# Observed with music21 10.5.1: eleven notes on sixteenths in two bars of 4/4, two of which begin together at sixteenth 14
# and end at 17 and 18, beyond the bar line at 16: the notes that begin at 23 are read at 24, and the tied rest of the chord
# at 17. If the time signature makes one bar of the whole file, all eleven onsets are right. The ends of chord notes of
# unequal length differ from the file in either case.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check music21==10.5.1 mido==1.3.3
cat > "$folder/bars.py" <<'PYTHON'
import sys

import mido
import music21

NOTES = [  # onset in sixteenths, pitch, end
    (0, 71, 3), (3, 72, 4), (4, 75, 7), (7, 74, 9), (8, 38, 13), (9, 75, 12), (12, 77, 14), (14, 65, 18), (14, 75, 17),
    (23, 39, 28), (23, 60, 30),
]
WANTED = sorted((onset, pitch) for onset, pitch, _ in NOTES)


def onsets(quarters_of_bar: int) -> list[tuple[float, int]]:
    events = sorted([(onset, 1, pitch) for onset, pitch, _ in NOTES] + [(end, 0, pitch) for _, pitch, end in NOTES])
    track = mido.MidiTrack([mido.MetaMessage("time_signature", numerator=quarters_of_bar, denominator=4, time=0)])
    now = 0
    for time, is_on, pitch in events:
        track.append(mido.Message("note_on", note=pitch, velocity=64 * is_on, time=120 * (time - now)))
        now = time
    file = mido.MidiFile(ticks_per_beat=480)
    file.tracks.append(track)
    file.save(f"{sys.argv[1]}/bar{quarters_of_bar}.mid")
    score = music21.converter.parse(f"{sys.argv[1]}/bar{quarters_of_bar}.mid", forceSource=True)
    begun = [each for each in score.recurse().notes if not each.tie or each.tie.type == "start"]
    return sorted((4 * float(each.getOffsetInHierarchy(score)), pitch.midi) for each in begun for pitch in each.pitches)


four, whole = onsets(4), onsets(8)
print("music21", music21.__version__, "bars of 4/4 differ in", sorted(set(four) ^ set(WANTED)))
print("one bar differs in", sorted(set(whole) ^ set(WANTED)))
sys.exit(not (set(four) - set(WANTED) == {(24.0, 39), (24.0, 60)} and whole == WANTED))
PYTHON
"$folder/venv/bin/python" "$folder/bars.py" "$folder" || { echo "changed"; exit 1; }
