#!/usr/bin/env bash
# pyfluidsynth prints to standard output when it is imported and the variable CI is set.
#
# Guess: importing the binding of a synthesiser prints nothing, so a program that imports it (pretty_midi does) has its
# standard output for itself, on a laptop as in continuous integration.
# Observed with pyfluidsynth 1.4.0 and pretty_midi 0.2.11: with CI set, to any text, `import pretty_midi` prints where
# the library was found, once a process; a comparison of a program's standard output then fails in continuous integration
# alone. Without CI nothing is printed. 1.3.4 prints nothing in either case.
# Needs libfluidsynth, a system library.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
lines() { "$folder/venv/bin/python" -W ignore -c 'import pretty_midi' | wc -l; }
for version in 1.3.4 1.4.0; do
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "pyfluidsynth==$version" \
        pretty_midi==0.2.11 'setuptools<81'
    without=$(unset CI; lines)
    with=$(export CI=false; lines)
    echo "pyfluidsynth $version: $without lines without CI, $with with CI=false"
    [ "$without" = 0 ] || { echo "changed"; exit 1; }
    [ "$with" = "$([ "$version" = 1.4.0 ] && echo 1 || echo 0)" ] || { echo "changed"; exit 1; }
done
