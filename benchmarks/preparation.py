"""Files a second of preparation, against one process that reads the same files with pretty_midi.

    python -m benchmarks.preparation --midi-dir path/to/midi
    python -m benchmarks.preparation                        # the built-in corpus
"""

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pretty_midi

from benchmarks.timing import machine, print_table
from data.builtin import export_builtin_corpus
from data.reading import read_songs
from data.song import FRAMES_PER_SECOND
from data.store import WINDOW_LENGTHS

MIN_FRAMES = WINDOW_LENGTHS[0]
ROOT = Path(__file__).resolve().parents[1]


def read_with_pretty_midi(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """The baseline: roll and events of one file."""
    midi = pretty_midi.PrettyMIDI(str(file))
    roll = midi.get_piano_roll(fs=FRAMES_PER_SECOND) > 0
    events = [(note.start, note.pitch, note.velocity) for track in midi.instruments for note in track.notes]
    return roll, np.array(events)


# What the system tells of a child's memory includes that of this process, from before the child became a program.
MEASURED = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
marks = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(marks["VmHWM"].split()[0])
"""


def peak_memory_mb(files: list[Path], folder: Path) -> float:
    """High-water mark of a whole preparation of `files`, of its main process, in MiB. Linux alone."""
    labels = folder / "labels.csv"
    labels.write_text("path,genre_id,split\n" + "".join(f'"{file.resolve()}",0,train\n' for file in files))
    command = [sys.executable, "-c", MEASURED, "prepare_data.py", "--labels", str(labels), "--allow-outside"]
    command += ["--rebuild", "--store", str(folder / "store")]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--midi-dir", type=Path, help="folder of MIDI files (default: the built-in corpus)")
    parser.add_argument("--baseline-files", type=int, default=100, help="files read with pretty_midi")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        midi_dir = options.midi_dir or export_builtin_corpus(temporary / "midi").parent
        files = sorted(midi_dir.rglob("*.mid"))
        sample = files[:: max(1, len(files) // options.baseline_files)]

        def timed(label: str, work: object) -> tuple[str, float]:
            started = time.perf_counter()
            count = sum(1 for _ in work)
            return label, count / (time.perf_counter() - started)

        # The two baselines enclose ours, since the machine's speed drifts.
        _, before = timed("", map(read_with_pretty_midi, sample))
        ours = [
            timed("ours, one process", read_songs(sample * 5, min_frames=MIN_FRAMES, workers=1)),
            timed("ours, a process a core", read_songs(files * max(1, 2000 // len(files)), min_frames=MIN_FRAMES)),
        ]
        _, after = timed("", map(read_with_pretty_midi, sample))
        baseline = (before + after) / 2
        rows = [["pretty_midi, one process", baseline, "1"]]
        rows += [[label, rate, f"{rate / baseline:.0f}"] for label, rate in ours]
        print_table(f"Preparation, {len(files)} files; {machine()}", ["", "files/s", "ratio"], rows)
        quarter = peak_memory_mb(files[::4], temporary)
        whole = peak_memory_mb(files, temporary)
        memory = [[len(files[::4]), quarter], [len(files), whole]]
        print_table("Memory high-water mark of prepare_data.py", ["files", "MiB"], memory)


if __name__ == "__main__":
    main()
