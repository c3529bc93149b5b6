"""Every code block of the README and the docs runs, on a small collection of music in a folder of its own.

Commands run in this process, in the order of the page. Options behind those of a command make it short, see `SHORT`.
`ONLY` lists the commands of which a part is run, each with its reason.
"""

import hashlib
import itertools
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from corpus import write_labels
from fake_embedders import save_tiny_ast
from midi_files import example_song, midi, off, on, tempo, write
from weights import save_rolls

from data.splits import assign_splits, song_key
from models import LARGE

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GENRES = ("classical", "jazz", "rock", "pop")
SONGS_OF_SPLIT = {"train": 3, "val": 1, "test": 1}
TRAINING = "--epochs 1 --epoch-windows 16 --batch-size 8 --device cpu --threads 1"
SOUND = "--synth tinysoundfont"
STUDY = "--hidden 8 --epochs 1 --epoch-rows 32 --batch-size 16"
SHORT = {
    "train_cvae.py": TRAINING,
    "train_cgan.py": f"{TRAINING} --critic-steps 1",
    "train_hybrid.py": f"{TRAINING} --critic-steps 1 --epochs 1,1,1",
    "programs.train_prior": f"{TRAINING} --piece-seconds 2,4",
    "generate.py": f"--count 1 {SOUND}",
    "eval_fad_samples.py": f"--clips 4 --seq-len 32 --generation-seeds 2 {SOUND}",
    "eval_music.py": "--clips 8 --seq-len 32",
    "programs.genre_likelihood": "--classifier-steps 6",
    "programs.study_train": STUDY,
    "programs.study_evaluate": "--sweep-measures 10",
    "programs.study_surface_maps": "--points 3",
}
ONLY = {
    "app.py": ("--dry-run", "serves until it is stopped; tests/programs/test_app.py opens the page"),
    "evaluate.py": ("--commands", "an hour; each evaluation has tests of its own"),
    "prepare_data.py --builtin": ("--dry-run", "minutes of parsing; tests/data/test_builtin.py reads some scores"),
    "--seeds 1 --jobs 2": ("--dry-run", "hours; tests/explainable/test_compare.py trains"),
    "make": ("--dry-run", "make runs these tests"),
    "hf": (None, "fetches from a network"),
    "label_data.py --midi-dir midi --tables": ("--folders", "the table of this place labels one file"),
    "label_data.py --midi-dir midi --midi-genre-map": ("--folders", "the map of this place labels no file"),
}


def code_blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def song_titles(genre: str) -> Iterator[tuple[str, str]]:
    """Title and split of as many songs as the splits need; the hash of the name decides the split."""
    missing = dict(SONGS_OF_SPLIT)
    for letters in itertools.product("abcdefghij", repeat=2):
        title = f"Study {''.join(letters)}"
        (split,) = assign_splits([song_key(genre, title)], [title], [None])
        if missing[split]:
            missing[split] -= 1
            yield title, split


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tunes: Path) -> Path:
    """A folder with the files that the pages name, in which the README has been run."""
    folder = tmp_path_factory.mktemp("docs")
    composers = []
    for number, genre in enumerate(GENRES):
        for seed, (title, split) in enumerate(song_titles(genre)):
            write(folder / "midi" / genre / f"{title}.mid", example_song(number % 3, seed))
            composers.append((f"{genre}/{title}.mid", f"Composer {number % 2}", split))
    write_labels(folder / "composers.csv", composers, ("path", "composer", "split"))
    for seed, name in enumerate(("song", "a", "b")):
        write(folder / f"{name}.mid", example_song(1, seed))
    scale = [message for pitch in 4 * [60, 62, 64, 65, 67, 69, 71, 72] for message in (on(0, pitch), off(240, pitch))]
    write(folder / "tune.mid", midi([tempo(0, 500_000), *scale]))
    shutil.copytree(tunes.parent, folder / "my_tunes", ignore=lambda place, names: {*names} - {tunes.name})
    (folder / "metadata.csv").write_text("artist,title,mbtags\njazz,Study,['jazz']\n", encoding="utf-8")
    md5 = hashlib.md5(next((folder / "midi").rglob("*.mid")).read_bytes()).hexdigest()
    (folder / "gigamidi.csv").write_text(f"md5,music_style_scraped\n{md5},smooth%20jazz%2Cswing\n", encoding="utf-8")
    (folder / "map.json").write_text('{"masd": {}}', encoding="utf-8")
    save_rolls(folder / "released/large", LARGE, seq_lens=(128,))  # without --checkpoints, the shipped ones count
    save_tiny_ast(folder / "ast")
    with pytest.MonkeyPatch.context() as patch:
        run_page(PAGES[0], folder, patch)
    return folder


def run_page(page: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    patch.syspath_prepend(str(ROOT))
    for language, block in code_blocks(page):
        assert language in ("sh", "python"), f"{page.name}: a block of {language}"
        if language == "python":
            names = block.replace("path/to/this/repository", str(ROOT))
            exec(compile(names, str(page), "exec"), {})
            continue
        for line in block.replace("\\\n", " ").splitlines():
            command = shlex.split(line, comments=True)
            if command:
                run_command_line(command, f"{page.name}: {line}", patch)


def run_command_line(command: list[str], where: str, patch: pytest.MonkeyPatch) -> None:
    part = next((part for start, (part, _) in ONLY.items() if " ".join(command[-4:]).startswith(start)
                 or " ".join(command[1:]).startswith(start) or command[0] == start), "")  # fmt: skip
    if part is None:
        return
    program, *arguments = command
    if program == "make":
        subprocess.run(["make", part, *arguments], cwd=ROOT, check=True, capture_output=True)
        return
    if program == "torchrun":
        name = next(word for word in arguments if word.startswith(("train_", "programs.")) or word in SHORT)
        arguments[arguments.index(name)] = name if name.startswith("programs.") else str(ROOT / name)
        words = [sys.executable, "-m", "torch.distributed.run", *arguments, *SHORT[name].split()]
        done = subprocess.run(words, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
        assert done.returncode == 0, f"{where}: {done.stderr}"
        return
    assert program == "python", f"{where}: starts no known program"
    is_module = arguments[0] == "-m"
    name, arguments = arguments[is_module], arguments[1 + is_module :]
    short = SHORT.get(name, "").split()
    if "large" in arguments and "--init-from" not in arguments and name.startswith("train_"):
        short += ["--hidden", "32"]
    patch.setattr(sys, "argv", [name, *arguments, *short, *([part] if part else [])])
    try:
        if is_module:
            runpy.run_module(name, run_name="__main__")
        else:
            runpy.run_path(str(ROOT / name), run_name="__main__")
    except SystemExit as end:
        assert not end.code, f"{where}: exit code {end.code}"


def test_readme_makes_music_weights_and_tables(place: Path) -> None:
    assert len(list((place / "samples").glob("*.wav"))) == 1 and list((place / "own_samples").glob("*.mid"))
    assert (place / "checkpoints" / "hybrid_cvae_best_T128.pth").exists()
    assert list((place / "metrics").glob("fad*.csv"))


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_code_of_the_docs_runs(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(page, place, monkeypatch)


def test_commands_stand_in_fenced_blocks_and_links_lead_somewhere() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"^    python ", text, re.MULTILINE), f"{page.name}: a command outside a fenced block"
        assert not re.search(r"^ +```", text, re.MULTILINE), f"{page.name}: an indented block, which no test runs"
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / target).exists(), f"{page.name}: no {target}"


def test_pages_are_short_and_the_index_lists_them() -> None:
    lines = PAGES[0].read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 180 and max(map(len, lines)) <= 100
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert len(page.read_text(encoding="utf-8").splitlines()) <= 64, f"{page.name}: more than a screen"
        assert page.name == "README.md" or f"]({page.name})" in index, f"{page.name}: not in docs/README.md"


def test_torch_is_left_as_it_was() -> None:
    """Commands run in this process: none may leave settings behind that change other tests."""
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
