"""A small world of files for short runs of every program, and what a run computes."""

import contextlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from hashlib import md5
from inspect import get_annotations
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any
from unittest import mock
from zipfile import ZipFile
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
import torch
from benchmark_files import write_benchmark
from corpus import ROWS, write_corpus, write_labels
from fake_embedders import FakeEmbedder
from fake_llm import FakeLlm
from matplotlib.figure import Figure
from midi_files import example_song, midi, off, on, write
from msd_files import write_aggregate
from tiny_stores import make_store
from weights import save_rolls

import evaluate
from audio import synthesis
from common.errors import UserError
from common.files import save_plain
from data import builtin
from evaluation.metrics import form, genre_classifier, latent_plots, music, probes, separation
from evaluation.samples import clip_embeddings
from explainable.comparison import runs
from explainable.metrics import independence
from explainable.options import MeasureOptions, RunMetricsOptions
from explainable.prepare import prepare_measures
from explainable.tokens import MEASURE
from labelling.msd import Track
from models import LARGE, PAPER
from models.checkpoint import CheckpointError, read_checkpoint
from programs.study_train import train_model

W = Path("w")  # the world, as runs see it
TRACK = "TRAAAAW128F429D538"
# Facts that only repeat options; columns called by an option do, too.
RESTATED = re.compile(r"origin|classifier|checkpoint|trained_on|embedder|.*sha256|.*content")
_notes: dict[str, Any] = {}


class Program:
    """A program with the options of a short run, and `rules` for changing them. `prints`: its text is a result.

    `call` is a function of its options, or the name of one, MODULE:FUNCTION.
    """

    def __init__(
        self, call: str | Callable, base: dict[str, Any] | None = None, rules: dict[str, Any] | None = None, *,
        options: type | None = None, prints: bool = False,
    ) -> None:  # fmt: skip
        self.call = resolve_name(call) if isinstance(call, str) else call
        self.base, self.rules, self.prints = base or {}, rules or {}, prints
        self.options = options or get_annotations(self.call)["options"]


def make_world(world: Path) -> None:
    """Write everything that runs read; `template` is the content of the folder in which a run starts."""
    for name, first_song in (("store", 0), ("other", 50)):
        make_store(world / name, splits=[("train", "train", "val", "test")] * 3, first_song=first_song, artists="AB")
    for name, architecture in (("A", PAPER), ("B", PAPER), ("strange", PAPER), ("large", LARGE), ("apart", PAPER)):
        songs = torch.tensor([7] if name == "strange" else [], dtype=torch.int64)
        lineage = {"cvae_lineage": ["another CVAE"]} if name == "apart" else {}
        seq_lens = (32, 64, 128) if architecture == LARGE else (32, 64)
        save_rolls(world / name, architecture, seq_lens, training_songs=songs, **lineage)
    for name in ("cvae_pretrained_best.pth", "hybrid_cvae_best_T32.pth"):
        write(world / "apart" / name, (world / "A" / name).read_bytes())
    for source, place, file in (
        ("A", "checkpoints", "cvae_pretrained_best"), ("B", "checkpoints_2", "cvae_pretrained_best"),
        ("strange", "strange", "cvae_pretrained_best"), ("large", "large", "cvae_pretrained_best"),
        ("large", "checkpoints/large", "hybrid_cvae_best_T32"),
    ):  # fmt: skip
        write(world / f"template/{place}/{file}.pth", (world / f"{source}/{file}.pth").read_bytes())
    distances = b"FAD,FAD_over_floor,KAD,MIND,FAD_deviations,KAD_deviations,MIND_deviations"
    table = b"embedder,T,damage,n,n_empty," + distances + b",detected_by\nx,32,none,4,0,1.5,1,0.5,1,0,0,0,none\n"
    write(world / "template/metrics_2/fad_sanity.csv", table)
    epoch = b'{"phase": "T=32", "epoch": 1, "train": {"loss": 3}, "val": {"loss": 2}}\n'
    write(world / "runs/cvae/epochs.jsonl", epoch)
    write(world / "other.sf2", b"RIFF....sfbk")
    for style, name in enumerate(("song a", "song b")):
        write(world / f"{name}.mid", example_song(style, 0, 5))
    rng = np.random.default_rng(0)
    for name in ("jsb", "nottingham"):
        pieces = {split: [rng.random((30 + k, 88)) < 0.05 for k in range(6)] for split in ("train", "val", "test")}
        write_benchmark(world, name, **pieces)
    _write_corpus(world)
    _write_melodies(world)


def _write_corpus(world: Path) -> None:
    """MIDI files of two genres with tables of labels, and catalogues that know something about them."""
    corpus = write_corpus(world / "corpus")
    write(world / "corpus/stray.mid", example_song(1, 9, seconds=6))
    rows = [(*row, f"composer {k % 2}", 0.4 if k == 1 else 0.6) for k, row in enumerate(ROWS)]
    rows += [("../stray.mid", 0, "slow", "train", "composer 0", 0.9), ("slow/none.mid", 0, "slow", "train", "", 1)]
    columns = ("path", "genre_id", "genre", "split", "composer", "confidence")
    write_labels(world / "labels.csv", rows, columns)
    write_labels(world / "few.csv", rows[:-1], columns)
    first = md5((corpus / "midi" / ROWS[0][0]).read_bytes()).hexdigest()
    for name, text in {
        "map.toml": '[classes]\nslow = 0\nfast = 1\n[words]\nslow = ["slow", "adagio"]\nfast = ["fast", "presto"]\n',
        "metadata.csv": "artist,title,mbtags\nFast,B,\"['presto', 'adagio', 'slow']\"\n",
        "scores.json": json.dumps({TRACK: {first: 0.9}}),
        "genres.cls": f"{TRACK}\tpresto\n",
        "md5.json": json.dumps({"masd": {first: ["adagio", "presto", "presto"]}}),
        "gigamidi.csv": f"md5,music_styles_curated\n{first},\"['jazz']\"\n",
        "unique.txt": f"{TRACK}<SEP>SOA<SEP>slow<SEP>song 1\n",
        "files.csv": "path,artist,title,md5\nslow/song 0.mid,Fast,B,\nx/y.mid,Nobody,C,\n",
    }.items():
        write(world / name, text.encode())
    write_aggregate(world / "msd/track.h5", Track(TRACK, "slow", "song 1", [("presto", 1)], [("slow", 1.0)]))


def _write_melodies(world: Path) -> None:
    """Files of tunes, two data sets of measures, and two trained models of the study with logits far apart."""
    rng = np.random.default_rng(0)
    for name in ("", "others/"):
        bars = [["".join(rng.choice(["C2", "DE", "G2", "Bc", "A2"], 3)) + "F2" for _ in range(4)] for _ in range(40)]
        tunes = [f"X:{k}\nT:{name}{k}\nM:4/4\nL:1/8\nK:C\n{'|'.join(each)}|]\n" for k, each in enumerate(bars)]
        tune_file = write(world / f"tunes/{name}tunes.abc", "\n".join(tunes).encode())
        prepare_measures([tune_file], world / f"sets/{name}measures", MEASURE)
    odd = [("4/4", "|:C2DE G2Bc:|A8|]"), ("2/2", "C2DE G2Bc|A8|]"), ("2/4", "C4|D4|E4|F4|]"), ("4/4", "C8|z8|A8|]"),
           ("4/4", "C4A4|C1/4D7/4E2 G4|A8|]")]  # fmt: skip
    text = "\n".join(f"X:{k}\nT:odd {k}\nM:{metre}\nL:1/8\nK:C\n{bars}\n" for k, (metre, bars) in enumerate(odd))
    write(world / "odd/odd.abc", text.encode())
    late = [30 * (k == 5) for k in range(16)]  # ticks after the beginnings of quarters
    high = [message for k, n in enumerate(late) for message in (on(n, 60 + k % 5), off(480 - n, 60 + k % 5))]
    low = [message for _ in range(4) for message in (on(0, 40), off(1920, 40))]
    write(world / "odd/late.mid", midi(high))
    write(world / "odd/parts.mid", midi(high, low))
    for name, seed in (("study", 0), ("study_2", 1)):
        short = {"hidden": 8, "epochs": 1, "batch_size": 8, "epoch_rows": 16, "validation_rows": 16, "device": "cpu"}
        own = {"data": world / "sets/measures", "latent": 5, "attributes": ("2",), "relu_logits": False, "seed": seed}
        places = {"checkpoints": world / name, "runs": world / f"{name}_runs"}
        train_model("measure_vae", MeasureOptions(**short, **own, **places))
        (path,) = (world / name).rglob("vae_best.pth")
        content = read_checkpoint(path)
        for layer in ("output", "beat_start", "tick_start", "tick_input"):
            content["weights"][f"{layer}.weight"].mul_(8)
        save_plain(content, path, replace=True)


# Fakes of what is slow


class NamedEmbedder(FakeEmbedder):
    """Embeddings that depend on the embedder's name and folder of weights."""

    def embed(self, clips: list[np.ndarray]) -> np.ndarray:
        return super().embed(clips) * crc32(self.identity.encode()) / 2**31


class FakeTSNE:
    """The first two dimensions, with noise that depends on the options."""

    def __init__(self, **options: Any) -> None:
        self.rng = np.random.default_rng(crc32(repr(options).encode()))

    def fit_transform(self, points: np.ndarray) -> np.ndarray:
        return (points[:, :2] + self.rng.normal(size=(len(points), 2))).astype(np.float32)


def _sound(renderer: synthesis.Renderer, messages: Any, seconds: float) -> np.ndarray:
    """A second of a tone, by the synthesiser, its SoundFont and the messages."""
    return np.sin(np.arange(16_000) * (crc32(f"{renderer.identity} {messages}".encode()) % 999)).astype(np.float32) / 4


def _draw(figure: Figure, file: Any, **options: Any) -> None:
    """In place of a picture, the points of its lines."""
    file.write(b"".join(line.get_xydata().tobytes() for axes in figure.axes for line in axes.lines))


def _in_this_process(function: Callable, items: list, jobs: int, died: Any) -> Iterator:
    _notes.setdefault("jobs", []).append(jobs)
    return map(function, items)


def _export(folder: Path, *, full: bool, workers: int | None) -> Path:
    shutil.copytree(W / "corpus/midi", folder, dirs_exist_ok=True)
    return W / ("few.csv" if full else "corpus/labels.csv")


def _measure_run(trained: Any, measures: Any, options: RunMetricsOptions) -> dict[str, Any]:
    return {"data": "d", "run": "r", "model": "m", "accuracy": 0.5, "rows": options.sweep_measures}


def _noting(name: str, call: Callable, value: Any = None) -> Callable:
    """`call` that also notes its first argument, or `value`, under `name`."""
    return lambda *arguments, **_: (_notes.update({name: value or repr(arguments[-1:])}), call(*arguments))[1]


@contextlib.contextmanager
def fakes() -> Iterator[None]:
    """Replace synthesisers, embedders, drawing, processes and servers, and note some calls."""
    module = torch.nn.Module
    with pytest.MonkeyPatch.context() as patch, FakeLlm(lambda artist, title: artist) as llm:
        patch.setitem(sys.modules, "torch.utils.tensorboard", mock.MagicMock())
        for name in synthesis.SYNTHS:
            backend = SimpleNamespace(version=name, gain="1")
            patch.setitem(synthesis._BACKENDS, name, lambda path, rate, backend=backend: backend)
        for place, name, fake in (
            (synthesis.Renderer, "_play", _sound),
            (clip_embeddings, "open_embedder", lambda name, ast_dir, device: NamedEmbedder(name, f"{name} {ast_dir}")),
            (Figure, "savefig", _draw),
            (os, "fsync", lambda file: None),
            (form, "MINUTE_SECONDS", 8),
            (form, "WINDOW_SECONDS", 2),
            (genre_classifier, "BATCH_SIZE", 16),
            (genre_classifier, "CHECKS", 2),
            (latent_plots, "TSNE", FakeTSNE),
            (music, "HALVINGS", 2),
            (separation, "SHUFFLES", 2),
            (probes, "SHUFFLES", 1),
            (probes, "RESAMPLES", 4),
            (independence, "FOLDS", 2),
            (independence, "_PENALTIES", independence._PENALTIES[::4]),
            (torch, "set_num_threads", _noting("threads", lambda n: None)),
            (module, "double", _noting("double", module.double, True)),
            (builtin, "export_builtin_corpus", _export),
            (evaluate, "run_program", _noting("run", lambda *_: 0, True)),
            (runs, "map_in_processes", _in_this_process),
            (runs, "make_tables", print),
            (runs, "measure_run", _measure_run),
            (FakeLlm, "reply", _noting("request", FakeLlm.reply)),
        ):
            patch.setattr(place, name, fake)
        for name, value in llm.environment.items():
            patch.setenv(name, value)
        yield


# A run and its result


def run(program: Program, world: Path, folder: Path, options: dict[str, Any], *, read: bool = True) -> dict[str, Any]:
    """Everything that a run in the new `folder` computes, by name; "error" if the program refuses.

    `options` may have `earlier`: other options of a first run in the same folder. What only repeats options is left
    out: facts of weights, configurations, columns of tables that are called by options. Without `read`, the content of
    files is left out, too.
    """
    shutil.copytree(world / "template", folder, dirs_exist_ok=True)
    (folder / W).symlink_to(world)
    last = {name: value for name, value in options.items() if name != "earlier"}
    printed, result = io.StringIO(), {}
    _notes.clear()
    torch.backends.cuda.matmul.allow_tf32 = False
    with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(printed):
        try:
            for each in [last | options["earlier"], last] if "earlier" in options else [last]:
                returned = program.call(program.options(**each))
                result["returned"] = returned if isinstance(returned, bytes) else None
        except (UserError, CheckpointError) as error:
            result["error"] = str(error)
    result |= {"notes": repr(_notes), "tf32": torch.backends.cuda.matmul.allow_tf32}
    torch.backends.cuda.matmul.allow_tf32 = False
    if program.prints:
        result["printed"] = re.sub(r"[0-9.]+ s\b", "", printed.getvalue())
    restated, cache = {each.name for each in fields(program.options)}, options.get("cache", "cache")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.is_relative_to(cache):
            result[str(cache)] = True  # the names of cached files are hashes of options
        elif path.is_file() and not (world / "template" / name).exists():
            # Some names repeat options: the folders of the study's runs, and of one table.
            result[re.sub(r"explainable/\w+/\w+/|_leaking", "", str(name))] = read and _content(path, restated)
    return result


def _content(path: Path, restated: set[str]) -> Any:
    """The part of a file that is computed."""
    if path.suffix == ".pth" and "last" not in path.stem and path.stem != "state":
        return [(entry.file_size, entry.CRC) for entry in ZipFile(path).infolist() if "/data/" in entry.filename]
    if path.suffix == ".csv":
        table = pd.read_csv(path)
        table = table[[name for name in table if name not in restated and not RESTATED.fullmatch(name)]]
        return [*table, *table.astype(object).fillna("").to_numpy().ravel()]
    if path.name == "epochs.jsonl":
        epochs = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        return [str((epoch["phase"], epoch["train"], epoch["val"])) for epoch in epochs]
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        return str([content.get(name) for name in ("genres", "condition", "agreement", "models")])
    if path.suffix == ".html":
        shown = r"(?:src|d)=\"([^\"]*)|<td[^>]*>([^<]*)|Missing: <b>([^<]*)"
        return re.findall(shown, path.read_text(encoding="utf-8"))
    return None if path.suffix in (".pth", ".txt", ".lock", "") else path.read_bytes()
