"""Time and memory of labelling files out of catalogues of growing size, and of growing numbers of files.

    python -m benchmarks.labelling

Catalogues (`unique_tracks.txt`, a .cls file, a CSV of artists' tags) and a list of files are made up; every run is a
process of its own, whose high-water mark counts. A catalogue is read once and only what concerns the files is kept, so
its size should cost time alone.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from label_data import Options, label_data

SIZES = [(20_000, 20_000), (20_000, 200_000), (20_000, 1_000_000), (1_000_000, 1_000_000)]
SONGS_OF_AN_ARTIST = 10
GENRES = ("Rock", "Pop", "Jazz", "Country")


def write_inputs(folder: Path, n_files: int, n_songs: int) -> None:
    """The files are the first of the songs that the catalogues know."""
    folder.mkdir()
    with (folder / "unique_tracks.txt").open("w") as tracks, (folder / "styles.cls").open("w") as styles:
        for song in range(n_songs):
            track, artist = f"TRAAAAA{song:011X}", song // SONGS_OF_AN_ARTIST
            tracks.write(f"{track}<SEP>SO{song}<SEP>The Artist {artist} & Band<SEP>Song Number {song} (Live)\n")
            styles.write(f"{track}\t{GENRES[song * 7 % len(GENRES)]}\n")
    with (folder / "metadata.csv").open("w") as metadata:
        metadata.write("artist,title,mbtags\n")
        for artist in range(n_songs // SONGS_OF_AN_ARTIST):
            metadata.write(f"Artist {artist} & Band,x,\"['rock', 'pop', 'british']\"\n")
    with (folder / "files.csv").open("w") as files:
        files.write("path,artist,title\n")
        for song in range(n_files):
            artist = f"Artist {song // SONGS_OF_AN_ARTIST} and Band"
            files.write(f"{artist}/Song_Number_{song}.mid,{artist},Song Number {song}\n")


def run(folder: Path) -> None:
    """Label the files of a folder; prints seconds and the high-water mark in MiB, as JSON."""
    started = time.perf_counter()
    labels = label_data(
        Options(
            files=folder / "files.csv", out=folder / "labels.csv", metadata=folder / "metadata.csv",
            unique_tracks=folder / "unique_tracks.txt", annotations=(folder / "styles.cls",),
        )
    )  # fmt: skip
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"labelled": len(labels), "seconds": time.perf_counter() - started, "MiB": memory}))


def main() -> None:
    from benchmarks.timing import machine, print_table  # here, because the runs that are measured begin with this file

    runs = []
    with tempfile.TemporaryDirectory() as place:
        for n_files, n_songs in SIZES:
            folder = Path(place, f"{n_files}_{n_songs}")
            write_inputs(folder, n_files, n_songs)
            done = subprocess.run([sys.executable, __file__, str(folder)], capture_output=True, text=True, check=True)
            told = json.loads(done.stdout.splitlines()[-1])
            assert told["labelled"] == n_files
            runs.append((f"{n_files:,}", f"{n_songs:,}", told["seconds"], told["MiB"]))
    _, _, seconds, memory = runs[0]
    rows = [[*sizes, f"{s:.1f}", f"{s / seconds:.1f}", m, f"{m / memory:.1f}"] for *sizes, s, m in runs]
    heading = ["files", "songs in the catalogues", "seconds", "ratio", "MiB", "ratio"]
    print_table(f"label_data.py; {machine()}", heading, rows)


if __name__ == "__main__":
    run(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
