"""Files per second of preparation, compared with pretty_midi in one process; memory of prepare_data.py.

    python -m benchmarks.preparation --midi-dir path/to/midi
    python -m benchmarks.preparation                        # the built-in corpus

Prints Markdown tables.
"""

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

from benchmarks.timing import machine, parse_arguments, print_table, rate
from common.midi_library import pretty_midi
from data.builtin import export_builtin_corpus
from data.reading import read_songs
from data.song import FRAMES_PER_SECOND
from data.window_lengths import WINDOW_LENGTHS

MIN_FRAMES = WINDOW_LENGTHS[0]
ROOT = Path(__file__).resolve().parents[1]
# Linux counts the memory of this process, before the child becomes a program, as the child's: it reads its own status.
MEASURED = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
marks = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(marks["VmHWM"].split()[0])
"""


def read_with_pretty_midi(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """The baseline: roll and events of one file."""
    midi = pretty_midi.PrettyMIDI(str(file))
    roll = midi.get_piano_roll(fs=FRAMES_PER_SECOND) > 0
    events = [(note.start, note.pitch, note.velocity) for track in midi.instruments for note in track.notes]
    return roll, np.array(events)


def peak_memory_mb(files: list[Path], folder: Path) -> float:
    """High-water mark in MiB of the main process of a whole preparation of `files`. Linux only."""
    labels = folder / "labels.csv"
    labels.write_text("path,genre_id,split\n" + "".join(f'"{file.resolve()}",0,train\n' for file in files))
    command = [sys.executable, "-c", MEASURED, "prepare_data.py", "--labels", str(labels), "--allow-outside"]
    command += ["--rebuild", "--store", str(folder / "store")]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


def main() -> None:
    options = parse_arguments(
        __doc__,
        midi_dir=(None, "folder of MIDI files (default: the built-in corpus)"),
        baseline_files=(100, "files to read with pretty_midi"),
    )
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        midi_dir = options.midi_dir or export_builtin_corpus(temporary / "midi").parent
        files = sorted(midi_dir.rglob("*.mid"))
        sample = files[:: max(1, len(files) // options.baseline_files)]
        # Half of the baseline before ours and half after, because the machine's speed drifts.
        before = rate(map(read_with_pretty_midi, sample))
        one = rate(read_songs(sample * 5, min_frames=MIN_FRAMES, workers=1))
        all_cores = rate(read_songs(files * max(1, 2000 // len(files)), min_frames=MIN_FRAMES))
        baseline = (before + rate(map(read_with_pretty_midi, sample))) / 2
        rates = {"pretty_midi, one process": baseline, "ours, one process": one, "ours, a process a core": all_cores}
        rows = [[label, of, f"{of / baseline:.0f}"] for label, of in rates.items()]
        print_table(f"Preparation, {len(files)} files; {machine()}", ["", "files/s", "ratio"], rows)
        memory = [[len(part), peak_memory_mb(part, temporary)] for part in (files[::4], files)]
        print_table("Memory high-water mark of prepare_data.py", ["files", "MiB"], memory)


if __name__ == "__main__":
    main()
