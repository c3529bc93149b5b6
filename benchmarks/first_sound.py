"""The page of app.py with the shipped weights: processor time from a click to its sound, and to its picture.

    python -m benchmarks.first_sound

Each case runs with `--rounds` seeds; the table has medians. "sound, s": processor time of this process to the sound;
"picture, s": from there to the picture. The process has loaded the networks and made one piece before, as the server
has when it opens. What the server and the browser need besides is not in it.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.timing import machine, parse_arguments, print_table
from playground.options import Options
from playground.studio import Made, Studio


def main() -> None:
    given = parse_arguments(__doc__ or "", rounds=(5, "seeds of each case"))
    print(machine())
    studio = Studio(Options())
    studio.warm()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        *_, made = studio.music(folder, windows=2)
        song = made.midi[0]
        middle = {name: slider.middle for name, slider in studio.sliders.items()}
        cases = {
            "CVAE decoder, 8 s": lambda seed: studio.music(folder, seed=seed),
            "CVAE decoder, 64 s": lambda seed: studio.music(folder, windows=8, seed=seed),
            "generator, 8 s": lambda seed: studio.music(folder, source="generator", seed=seed),
            "continue 16 s by 8 s": lambda seed: studio.music(folder, continue_file=song, seed=seed),
            "restyle 16 s": lambda seed: studio.music(folder, reconstruct=song, seed=seed),
            "infill 8 of 16 s": lambda seed: studio.music(folder, infill=song, span=(4, 12), seed=seed),
            "vary 16 s by .3": lambda seed: studio.music(folder, vary=song, seed=seed),
            "sliders, 4 measures": lambda seed: studio.melody(folder, seed, 4, middle),
        }
        rows = []
        for case, make in cases.items():
            times = [
                [_processor_seconds(answer) for _ in ("sound", "picture")] for answer in map(make, range(given.rounds))
            ]
            rows.append([case, *(f"{statistics.median(column):.2f}" for column in zip(*times, strict=True))])
    print_table("The page, from a click", ["case", "sound, s", "picture, s"], rows)


def _processor_seconds(answer: Iterator[Made]) -> float:
    started = time.process_time()
    next(answer)
    return time.process_time() - started


if __name__ == "__main__":
    main()
