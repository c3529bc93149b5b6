"""The short work that `benchmarks.compare_runs` repeats with two revisions: command lines, and input files.

Each case runs in a folder of its own, two levels below the folder that holds `inputs/` and `released/`.
"""

import csv
import hashlib
import json
import os
import random
import re
from pathlib import Path
from string import Template

import mido
import numpy as np
import scipy.io

GENRES = {"rock": 28, "jazz": 45, "classical": 60}  # lowest pitch
SPLITS = ("train", "train", "train", "val", "test", "test")
TRACK_ID = "TRAAAAA{:011d}"

# New name -> old name, used in a tree that lacks the new program, or where its --help does not name the new option.
RENAMED_PROGRAMS = {"programs.study_": "explainable.", "programs.": "evaluation."}
RENAMED_OPTIONS = {
    "--shuffle-labels": "--labels shuffled",
    "--source ": "--sources ",
    "--latents normal": "--no-prior",
    "--no-critic-takes-z": "--no-critic-hears-z",
}
# Parts of paths that are left out when files are matched: a folder that weights of shuffled labels once had, the name
# of the checkpoints in that of clips, hashes.
LEFT_OUT_OF_PATHS = re.compile(r"(?<![^/])shuffled/|(?<=clips/)checkpoints_|-[0-9a-f]{12}(?=\.)")


def read_cases() -> dict[str, dict[str, list[str]]]:
    """The commands of compare_cases.txt, by group and case."""
    names: dict[str, str] = {}
    cases: dict[str, dict[str, list[str]]] = {}
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines():
        name, is_name, words = line.partition("=")
        if is_name and name.replace("_", "").isupper():
            names[name] = Template(words).substitute(names)
        elif line.endswith(":"):
            group, case = line[:-1].split("/")
            commands = cases.setdefault(group, {}).setdefault(case, [])
        elif line and not line.startswith("#"):
            commands.append(Template(line).substitute(names))
    return cases


CASES = read_cases()
NEEDS = {"training": ("data",), "evaluation": ("data", "training")}
# Models through torch.hub; PYTHONPATH is the tree.
HUB_CODE = """
import os, numpy, torch
load = lambda name, **more: torch.hub.load(os.environ["PYTHONPATH"], name, source="local", **more)
torch.manual_seed(0)
genre, rolls = torch.arange(4), {}
for preset in ("paper", "large"):
    generator = load("generator_hybrid", seq_len=128, preset=preset)
    z = generator.prior.sample(torch.randn(4, generator.noise_size(128)), genre)
    rolls[f"{preset}_generator"] = generator(z, genre).detach().numpy()
    cvae = load("cvae_standalone", preset=preset)
    z = cvae.prior.sample(torch.randn(4, cvae.noise_size(32)), genre)
    rolls[f"{preset}_cvae"] = cvae.decode_free(z, genre, seq_len=32).roll.numpy()
    critic = load("critic_standalone", pretrained=False, n_genres=4, preset=preset)
    rolls |= {f"{preset}_critic_{name}": weights.numpy() for name, weights in critic.state_dict().items()}
for name in ("measure_vae", "adversarial_vae", "attribute_vae"):
    rolls |= {f"{name}_{key}": weights.numpy() for key, weights in load(name).state_dict().items()}
numpy.savez("hub.npz", **rolls)
"""


def write_inputs(folder: Path) -> None:
    """Write MIDI files with labels and tags of them, tunes, and piano rolls: the same in every call."""
    folder.mkdir(parents=True)
    (folder / "hub.py").write_text(HUB_CODE)
    labels, annotations, names, md5 = [], [], [], {}
    for genre_id, (genre, lowest) in enumerate(GENRES.items()):
        (folder / "midi" / genre).mkdir(parents=True)
        for number, split in enumerate(SPLITS):
            path, at = f"{genre}/song {number}.mid", 10 * genre_id + number
            song(random.Random(at), lowest).save(folder / "midi" / path)
            labels.append([path, genre_id, genre, split, f"composer {number % 2}", round(1 - number / 6, 2)])
            annotations.append(f"{TRACK_ID.format(at)}\t{'Pop' if number < 2 else genre.title()}")
            names.append(f"{TRACK_ID.format(at)}<SEP>SO{at}<SEP>{genre}<SEP>song {number}")
            md5[hashlib.md5((folder / "midi" / path).read_bytes()).hexdigest()] = [["Jazz", "Rock", "Pop"][number % 3]]
    tags = [["rock", "['rock', 'hard rock', 'pop']"], ["jazz", "['bebop']"], ["classical", "['pop', 'classical']"]]
    columns = ["path", "genre_id", "genre", "split", "composer", "confidence"]
    write_csv(folder / "labels.csv", [columns, *labels])
    write_csv(folder / "metadata.csv", [["artist", "title", "mbtags"], *([name, "-", tag] for name, tag in tags)])
    (folder / "some.cls").write_text("\n".join(annotations))
    (folder / "unique_tracks.txt").write_text("\n".join(names))
    (folder / "map.json").write_text(json.dumps({"magd": md5}))
    (folder / "tunes.abc").write_text("\n".join(map(tune, range(40))))
    pieces = np.random.default_rng(0).random((3, 4, 60, 88)) < 0.05
    cells = {name: np.empty((1, 4), object) for name in ("traindata", "validdata", "testdata")}
    for cell, rolls in zip(cells.values(), pieces, strict=True):
        cell[0] = [*rolls.astype(np.uint8)]
    scipy.io.savemat(folder / "JSB_Chorales.mat", cells)
    for path in folder.rglob("*"):
        os.utime(path, (0, 0))  # times of change are part of what a store was made of


def song(rng: random.Random, lowest: int) -> mido.MidiFile:
    """About 26 s of melody, chords and drums, with a change of tempo and a pedal."""
    melody = [mido.MetaMessage("set_tempo", tempo=500_000), mido.Message("program_change", program=rng.randrange(80))]
    chords = [mido.Message("control_change", channel=1, control=64, value=rng.choice([0, 127]))]
    drums = []
    for beat in range(52):
        if beat == 26:
            melody.append(mido.MetaMessage("set_tempo", tempo=rng.choice([400_000, 600_000])))
        for length in rng.choice([(480,), (240, 240), (360, 120)]):
            melody += note(0, lowest + rng.choice([12, 14, 16, 17, 19, 21, 24]), rng.randint(40, 120), length)
        pitch = lowest + rng.choice([0, 5, 7])
        chords.append(mido.Message("note_on", channel=1, note=pitch + 4, velocity=60))
        chords += note(1, pitch, 70, 480)
        chords.append(mido.Message("note_off", channel=1, note=pitch + 4))
        drums += note(9, rng.choice([36, 38, 42]), 100, 480)
    return mido.MidiFile(tracks=[mido.MidiTrack(track) for track in (melody, chords, drums)])


def note(channel: int, pitch: int, velocity: int, ticks: int) -> list[mido.Message]:
    start = mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)
    return [start, mido.Message("note_off", channel=channel, note=pitch, time=ticks)]


def tune(number: int) -> str:
    """A tune of eight measures in ABC."""
    rng = random.Random(number)
    bars = ["".join(rng.choice(["C2", "DE", "G2", "Bc", "A2", "z2", "^FG"]) for _ in range(4)) for _ in range(8)]
    return f"X:{number + 1}\nT:Tune {number}\nM:4/4\nL:1/8\nK:{rng.choice('CGD')}\n{'|'.join(bars)}|]\n"


def write_csv(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
