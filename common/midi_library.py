"""pretty_midi, imported without the line that pyfluidsynth prints to standard output where the variable CI is set."""

from contextlib import redirect_stdout

with redirect_stdout(None):
    import pretty_midi

__all__ = ["pretty_midi"]
