"""The short work that `benchmarks.compare_runs` repeats with two revisions: input files, and command lines.

Each case runs in a folder of its own, two levels below the folder that holds `inputs/` and `released/`.
"""

import csv
import hashlib
import json
import os
import random
import re
from pathlib import Path

import mido
import numpy as np
import scipy.io

GENRES = {"rock": 28, "jazz": 45, "classical": 60}  # lowest pitch
SPLITS = ("train", "train", "train", "val", "test", "test")
TRACK_ID = "TRAAAAA{:011d}"

# New name -> old name, used in a tree that lacks the new program, or an option that its --help does not name.
RENAMED_PROGRAMS = {
    **{f"programs.{name}": f"evaluation.{name}" for name in ("damage", "latent_plots", "restyle")},
    **{
        f"programs.study_{name}": f"explainable.{name}"
        for name in ("prepare", "train", "evaluate", "compare", "generate", "surface_maps", "sweeps")
    },
}
RENAMED_OPTIONS = {
    "--shuffle-labels": "--labels shuffled",
    "--source ": "--sources ",
    "--latents normal": "--no-prior",
    "--no-critic-takes-z": "--no-critic-hears-z",
}
# Parts of paths that are left out when files are matched: a folder that weights of shuffled labels once had, the name
# of the checkpoints in that of clips, hashes.
LEFT_OUT_OF_PATHS = re.compile(r"(?<![^/])shuffled/|(?<=clips/)checkpoints_|-[0-9a-f]{12}(?=\.)")

INPUTS, STORE = "../../inputs", "--store ../../data/rolls/store"
SONG, OTHER_SONG = f"{INPUTS}/midi/jazz/song 4.mid", f"{INPUTS}/midi/rock/song 5.mid"
TRAINED = "--checkpoints ../../training/paper/checkpoints"
TRAINED_LARGE = "--checkpoints ../../training/large/checkpoints/large"
TUNES, PHRASES = "--data ../../study/tunes/tunes", "--data ../../study/tunes/phrases"
STUDY_TRAINING = "--hidden 16 --latent 8 --epochs 2 --epoch-rows 128 --batch-size 32 --threads 1"
SHORT = "--hidden 16 --depth 1 --threads 1 --device cpu"
SOUND = "--synth tinysoundfont --embedders MTT_musicnn --workers 1 --device cpu"


def stages(every: str = "", cvae: str = "", cgan: str = "", hybrid: str = "") -> list[str]:
    """The three stages of training, a few steps each."""
    short = f"{STORE} --batch-size 8 --epoch-windows 24 --threads 1 --device cpu {every}"
    return [
        f"train_cvae.py {short} --epochs 2 {cvae}",
        f"train_cgan.py {short} --epochs 1 --critic-steps 2 {cgan}",
        f"train_hybrid.py {short} --critic-steps 2 {hybrid or '--seq-len 32,64 --epochs 1,1'}",
    ]


LARGE = "--preset large --warm-up 2"
LARGE_CVAE = "--hidden 32 --depth 2 --latent 4"
LARGE_HYBRID = "--hidden 32 --seq-len 128 --epochs 1"
ODD = "--seed 3 --balance sampler --transpose --move-windows --ema 0.9 --clip-norm 1 --warm-up 2 --schedule cosine"
CASES: dict[str, dict[str, list[str]]] = {
    "data": {
        "rolls": [f"prepare_data.py --midi-dir {INPUTS}/midi --labels {INPUTS}/labels.csv --workers 1"],
        "composers": [
            f"prepare_data.py --midi-dir {INPUTS}/midi --labels {INPUTS}/labels.csv --genre-column composer "
            "--min-confidence 0.5 --max-minutes 0.45 --workers 1"
        ],
        "labels": [
            f"label_data.py --midi-dir {INPUTS}/midi --folders --metadata {INPUTS}/metadata.csv",
            f"label_data.py --midi-dir {INPUTS}/midi --folders --metadata {INPUTS}/metadata.csv --annotations "
            f"{INPUTS}/some.cls --unique-tracks {INPUTS}/unique_tracks.txt --midi-genre-map {INPUTS}/map.json "
            "--order mbtags,title,annotation,folder --out other.csv",
            f"label_data.py --midi-dir {INPUTS}/midi --metadata {INPUTS}/metadata.csv --genre-map dgm --out dgm.csv",
        ],
    },
    "training": {
        "paper": stages(),
        "paper-512": stages("--preset paper-512")[:2],
        "demo": stages("--preset demo"),
        "large": stages(LARGE, LARGE_CVAE, "--hidden 32", LARGE_HYBRID),
        "large-options": stages(
            f"{LARGE} --no-transpose --no-move-windows --ema 0",
            f"{LARGE_CVAE} --optimizer adam --dropout 0.2 --prior standard-normal",
            "--hidden 32 --fakes soft --prior-share 0.25 --no-critic-takes-z",
            f"{LARGE_HYBRID} --optimizer adam --no-encoder-gradient --gamma 0.3 --no-critic-takes-z",
        ),
        "odd-options": stages(
            ODD,
            "--free-nats 1 --latent 16 --hidden 24",
            "--prior-share 0.5 --drift 0.01 --penalty 5 --fakes binary --gan-betas 0.1 0.95",
            "--seq-len 32 --epochs 2 --no-encoder-gradient --reconstruction squared-error --free-nats 0.5 --alpha 0.7",
        ),
        "shuffled-labels": stages("--shuffle-labels --balance none"),
        "resumed": [
            stages()[0],
            stages()[0].replace("--epochs 2", "--epochs 3 --allow-changes"),
            f"train_cvae.py {STORE} --init-from ../../released/paper --allow-other-songs --checkpoints more "
            "--runs more-runs --batch-size 8 --epoch-windows 24 --epochs 1 --threads 1 --device cpu",
        ],
    },
    "study": {
        "tunes": [
            f"programs.study_prepare --input {INPUTS}/tunes.abc --out tunes",
            f"programs.study_prepare --input {INPUTS}/tunes.abc --out phrases --form phrase",
            f"programs.study_prepare --input {INPUTS}/midi --out midi --guess-melody --keep-empty --metres 4/4,2/4",
        ],
        "models": [
            f"programs.study_train measure_vae {TUNES} {STUDY_TRAINING} --ema 0.9",
            f"programs.study_train adversarial_vae {TUNES} {STUDY_TRAINING} --attributes 2",
            f"programs.study_train attribute_vae {TUNES} {STUDY_TRAINING} --clip-norm 1",
            f"programs.study_evaluate {TUNES} --sweep-measures 10",
            f"programs.study_sweeps {TUNES} --measures 1",
            f"programs.study_surface_maps --model measure_vae {TUNES} --points 5",
            "programs.study_generate --model attribute_vae --set note_density=0.4 --count 2 --measures 2",
        ],
        "phrases": [
            f"programs.study_train adversarial_vae {PHRASES} {STUDY_TRAINING} --no-transposed",
            f"programs.study_evaluate {PHRASES} --sweep-measures 10",
        ],
        "grid": [
            f"programs.study_compare {TUNES} --parts B,improved --latents 32 --attributes 4 --seeds 1 "
            "--sweep-measures 10 --train-options='--hidden 16 --epochs 1 --epoch-rows 128 --batch-size 32'",
        ],
        "released": [
            "programs.study_generate --set note_density=0.4,rhythmic_complexity=0.2 --count 2 --measures 2",
            "programs.study_generate --model adversarial_vae --set note_density=0.5 --count 2",
            f"programs.study_generate --model measure_vae --from {INPUTS}/tunes.abc --set note_density=+0.1",
            "programs.study_surface_maps --points 5",
        ],
    },
    "generation": {
        "large": [
            "generate.py --count 1",
            "generate.py --count 1 --source generator --genre 0 --output generator",
            f"generate.py --count 1 --genre 1 --continue '{SONG}' --output continued",
            f"generate.py --count 1 --genre 1 --reconstruct '{SONG}' --output reconstructed",
            f"generate.py --genre 1 --interpolate '{SONG}' '{OTHER_SONG}' --steps 3 --output path",
            "generate.py --count 1 --genre 2 --windows 2 --temperature 0.5 --nucleus 0.9 --output long",
        ],
        "paper": [
            "generate.py --preset paper --count 2 --source generator --windows 4 --seed 1",
            "generate.py --preset paper --count 1 --source cvae --seq-len 64 --feedback sampled --output cvae",
            f"generate.py --preset paper --genre 0 --reconstruct '{SONG}' --seq-len 32 --output reconstructed",
            f"generate.py --preset paper --genre 0 --interpolate '{SONG}' '{OTHER_SONG}' --steps 3 --output path",
            "generate.py --preset paper --count 1 --genre 1 --no-exact --latents normal --min-note-frames 2 "
            "--output normal --device cpu --wav --synth tinysoundfont",
        ],
        "export": [
            "export.py --checkpoints ../../released/paper",
            "export.py --checkpoint ../../released/large/hybrid_G_best_T128.pth --half --output half",
        ],
        "hub": ["hub"],
    },
    "evaluation": {
        "paper": [
            f"eval_mse.py {STORE} {TRAINED} --device cpu",
            f"eval_elbo.py {STORE} {TRAINED} --device cpu --importance-samples 3",
            f"eval_music.py {STORE} {TRAINED} --device cpu --clips 6 --novelty-clips 4 --source generator,cvae",
            f"eval_genre.py {STORE} {TRAINED} --device cpu --clips 6 --classifier-steps 3 --seq-len 32",
            f"eval_fad_samples.py {STORE} {TRAINED} {SOUND} --clips 4 --seq-len 32 --generation-seeds 2 "
            "--floor-seeds 2 --save-clips clips",
            f"report.py {STORE} {TRAINED} --runs ../../training/paper/runs --seq-len 32 --real-clips 1 "
            "--generated-clips 1 --device cpu --synth tinysoundfont",
        ],
        "large": [
            f"eval_mse.py {STORE} {TRAINED_LARGE} --device cpu --temperature 0.8",
            f"eval_elbo.py {STORE} {TRAINED_LARGE} --device cpu --beta 0.5",
            f"eval_music.py {STORE} {TRAINED_LARGE} --device cpu --clips 4 --source cvae,generator "
            "--latents prior,posterior,normal",
            f"programs.restyle {STORE} {TRAINED_LARGE} --device cpu --windows 3 --classifier-steps 3",
        ],
        "other": [
            f"eval_mse.py {STORE} {TRAINED} --device cpu --leak-target --seq-len 64",
            f"programs.damage {STORE} {SOUND} --clips 4 --seq-len 32 --empty silence",
            f"programs.latent_plots {STORE} {TRAINED} --windows 30 --device cpu --latent sample",
        ],
        "density": [
            f"benchmarks.density --frames {INPUTS} --preset jsb --epochs 2 {SHORT}",
            f"benchmarks.density --frames {INPUTS} --preset jsb --epochs 1 {SHORT} --latent 4 --block 32 --before 16",
            f"benchmarks.density --frames {INPUTS} --preset frames --epochs 2 --threads 1 --device cpu",
        ],
    },
}
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
