"""Time and memory of label_data.py for catalogues and lists of files of growing size.

    python -m benchmarks.labelling

The catalogues (`unique_tracks.txt`, a .cls file, a CSV of artists' tags) and the list of files are synthetic. Each run
is a process of its own; its high-water mark counts. A catalogue is read once, and only what concerns the files is kept:
a larger one should take more time, but no more memory.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from label_data import label_data
from labelling.options import Options

SIZES = [(20_000, 20_000), (20_000, 200_000), (20_000, 1_000_000), (1_000_000, 1_000_000)]
SONGS_PER_ARTIST = 10
GENRES = ("Rock", "Pop", "Jazz", "Country")


def write_inputs(folder: Path, n_files: int, n_songs: int) -> None:
    """The files are the first songs of the catalogues."""
    folder.mkdir()
    with (folder / "unique_tracks.txt").open("w") as tracks, (folder / "styles.cls").open("w") as styles:
        for song in range(n_songs):
            track, artist = f"TRAAAAA{song:011X}", song // SONGS_PER_ARTIST
            tracks.write(f"{track}<SEP>SO{song}<SEP>The Artist {artist} & Band<SEP>Song Number {song} (Live)\n")
            styles.write(f"{track}\t{GENRES[song * 7 % len(GENRES)]}\n")
    with (folder / "metadata.csv").open("w") as metadata:
        metadata.write("artist,title,mbtags\n")
        for artist in range(n_songs // SONGS_PER_ARTIST):
            metadata.write(f"Artist {artist} & Band,x,\"['rock', 'pop', 'british']\"\n")
    with (folder / "files.csv").open("w") as files:
        files.write("path,artist,title\n")
        for song in range(n_files):
            artist = f"Artist {song // SONGS_PER_ARTIST} and Band"
            files.write(f"{artist}/Song_Number_{song}.mid,{artist},Song Number {song}\n")


def run(folder: Path) -> None:
    """Label the files of a folder; print number of labels, seconds and high-water mark in MiB as JSON."""
    started = time.perf_counter()
    sources = {"metadata": folder / "metadata.csv", "unique_tracks": folder / "unique_tracks.txt"}
    sources["annotations"] = (folder / "styles.cls",)
    labels = label_data(Options(files=folder / "files.csv", out=folder / "labels.csv", **sources))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps([len(labels), time.perf_counter() - started, memory]))


def main() -> None:
    from benchmarks.timing import machine, parse_arguments, print_table  # torch would count as memory of the runs

    parse_arguments(__doc__)
    rows, first = [], None
    with tempfile.TemporaryDirectory() as place:
        for n_files, n_songs in SIZES:
            folder = Path(place, f"{n_files}_{n_songs}")
            write_inputs(folder, n_files, n_songs)
            command = [sys.executable, "-c", f"from benchmarks.labelling import *; run(Path({str(folder)!r}))"]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
            n_labels, seconds, memory = json.loads(done.stdout.splitlines()[-1])
            assert n_labels == n_files
            first = first or (seconds, memory)
            ratios = f"{seconds / first[0]:.1f}", f"{memory / first[1]:.1f}"
            rows.append([f"{n_files:,}", f"{n_songs:,}", f"{seconds:.1f}", ratios[0], memory, ratios[1]])
    heading = ["files", "songs in the catalogues", "seconds", "ratio", "MiB", "ratio"]
    print_table(f"label_data.py; {machine()}", heading, rows)


if __name__ == "__main__":
    main()
