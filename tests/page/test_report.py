"""The page: what it shows and names as missing, that it is one sound HTML file, and that it says what is stale."""

import base64
import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from corpus import rewrite_store
from weights import save_weights

import eval_elbo
import eval_genre
import eval_mse
import eval_music
import report
from common.errors import UserError
from data.store import RollStore
from data.windows import WindowSource
from evaluation.metrics.damage import DAMAGE_TABLE
from evaluation.metrics.fad import FAD_TABLE
from evaluation.samples.clips import open_clip_sources
from evaluation.samples.latent_views import LATENT_TABLE
from evaluation.tables import REPORTED, Column
from figures.pitch_range import pitch_range
from models import CVAE, Generator
from page import assemble
from page.assemble import ReportOptions
from page.roll_svg import note_path

NASTY = ["R&B <x>", 'a"b', "bass"]
VOID = {"meta", "img", "br", "link", "input", "hr"}


class FakeRenderer:
    """A second of a tone for every clip."""

    identity = "fake synthesiser"

    def render_rolls(self, rolls: Iterable[np.ndarray], frames_per_second: int, workers: int) -> Iterator[np.ndarray]:
        for _ in rolls:
            yield np.sin(np.arange(16_000) / 8).astype(np.float32) / 4


class Page(HTMLParser):
    """The elements of a page, its text by kind of element, and tags that do not balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.cells: list[str] = []
        self.text = ""
        self.unbalanced: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.unbalanced.append(f"/{tag} in {self._open[-3:]}")

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data
        if self._open[-1:] == ["td"]:
            self.cells[-1] += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [has for name, has in self.elements if name == tag and wanted.items() <= has.items()]


def options_for(store: Path, folder: Path, genres: list[str] | None = None, **more: object) -> ReportOptions:
    """A copy of a store with other genre names, with random generators of T = 32 and 64 and a CVAE of T = 32."""
    if genres:
        store = rewrite_store(RollStore.open(store), folder / "store", genres=genres).folder
    opened = RollStore.open(store)
    torch.manual_seed(0)
    for seq_len in (32, 64):
        facts = {"genres": opened.genres, "frames_per_second": 16, "seq_len": seq_len}
        rate = WindowSource(opened, "train", seq_len).pitch_rate().mul(8).clamp(0.01, 0.6)
        generator, cvae = Generator(len(opened.genres), seq_len), CVAE(len(opened.genres))
        generator.start_at(rate)
        save_weights(generator, folder / "checkpoints" / f"hybrid_G_best_T{seq_len}.pth", **facts)
        save_weights(cvae, folder / "checkpoints" / f"hybrid_cvae_best_T{seq_len}.pth", **facts)
    folders = {name: folder / name for name in ("metrics", "runs")}
    weights = (folder / "checkpoints",)
    return ReportOptions(store=store, checkpoints=weights, **folders, **{"real_clips": 1, "generated_clips": 2, **more})


def write(path: Path, *rows: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def row_of(columns: Sequence[Column], **known: object) -> dict[str, object]:
    """A row with 0.5 wherever nothing else is known."""
    figures = {column.key: 0.5 for column in columns if column.kind != REPORTED}
    facts = dict.fromkeys(FAD_TABLE.protocol, 0) | {"condition": "genre", "reported": "", "reported_paper": ""}
    return figures | facts | known


@pytest.fixture(autouse=True)
def quiet_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "open_renderer", lambda synth, soundfont: FakeRenderer())


def made(options: ReportOptions) -> Page:
    return Page(report.report(options).read_text(encoding="utf-8"))


def assert_sound(page: Page) -> None:
    """Balanced, self-contained, without scripts, with alternative texts, and every link leads somewhere."""
    assert page.unbalanced == []
    assert not page.all("script") and not page.all("link")
    assert all(not name.startswith("on") for _, has in page.elements for name in has)
    sources = [has[name] for _, has in page.elements for name in ("src", "href") if name in has]
    assert sources and all(source.startswith(("data:", "#")) for source in sources)
    places = {has["id"] for _, has in page.elements if "id" in has}
    assert {link["href"][1:] for link in page.all("a")} <= places
    assert all(has["alt"] for has in page.all("img"))
    assert all(has.get("aria-label") for has in page.all("svg") + page.all("audio"))


def test_page_without_results_names_all_that_is_missing_and_plays_the_clips(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path, NASTY)
    page = made(options)
    assert_sound(page)
    assert page.all("html", lang="en")
    told = " ".join(page.text.split())
    folders = f"--store {options.store} --metrics {options.metrics} --checkpoints {options.checkpoints[0]}"
    for files, command in {
        "fad_results.png, fad_results.csv": f"eval_fad_samples.py {folders}",
        "music-T32.csv, music-T64.csv": f"eval_music.py {folders}",
        "genre-T32.csv, genre-T64.csv": f"eval_genre.py {folders}",
        "eval_mse-T32.csv": f"eval_mse.py {folders} --seq-len 32",
        "eval_elbo-T64.csv": f"eval_elbo.py {folders} --seq-len 64",
        "fad_sanity.csv": f"-m programs.damage --store {options.store} --metrics {options.metrics}",
        "latent_tsne-T32.png, rolls_embedding-T32.png, latent-T32.csv": (
            f"-m programs.latent_plots {folders} --seq-len 32"
        ),
        f"{options.runs / 'cgan' / 'epochs.jsonl'}": f"train_cgan.py --store {options.store}",
    }.items():
        assert f"Not here: {files}. Made by python {command}" in told
    # One real and two generated clips of three genres at two T.
    assert len(page.all("audio")) == 18
    assert all(has["preload"] == "none" and "controls" in has for has in page.all("audio"))
    audio, rate = soundfile.read(io.BytesIO(base64.b64decode(page.all("audio")[0]["src"].split(",")[1])))
    assert rate == 16_000 and len(audio) == pytest.approx(16_000, abs=1200)
    assert "R&B <x>" in page.text and 'a"b' in page.text and not page.all("x")
    assert any('generated a"b clip 1' in has["aria-label"] for has in page.all("svg"))


def test_pictures_are_of_the_clips_that_are_measured(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path, seed=3)
    page = made(options)
    source = open_clip_sources(options)[1]
    rolls = []
    for genre_id in range(3):
        order = source.real_order(genre_id)
        rolls += [*source.real(order[:1]), *source.generated(genre_id, 0, 2, seed=3)]
    notes = [has["d"] for has in page.all("path") if has.get("class") == "notes"]
    assert notes[9:] == [note_path(roll, pitch_range(rolls)) for roll in rolls]
    # 4 s of clip and 1 s of fading, as the sound has.
    assert page.all("svg")[-1]["viewbox"].startswith("0 0 80.0 ")


def test_empty_clips_are_shown_as_empty(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path, threshold=1.0)
    page = made(options)
    assert len(page.all("audio")) == 6, "one real clip of three genres at two T"
    assert page.text.count("empty: nothing sounds") == 12
    assert page.text.count("0 notes") >= 12
    silent = made(dataclasses.replace(options, real_clips=0))
    assert_sound(silent)
    assert not silent.all("audio") and silent.text.count("empty: nothing sounds") == 12


def test_published_values_stand_beside_ours_marked_as_reported(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path, ["classical", "jazz", "rock"])
    facts = {"embedder": "net <1>", "synth": "synth 7", "soundfont": "piano.sf2", "soundfont_sha256": "abc123"}
    known = {"T": 32, "origin": "generator", **facts, "note": "", "seed": 0}
    classical = {"genre_id": 0, "genre_name": "classical", "FAD": 12.3456, "n_real": 99, "n_fake": 1200}
    classical |= {"reported": 10.34, "reported_paper": 1.8}
    every = {"genre_id": -1, "genre_name": "all", "FAD": 8.7654, "FAD_infinity": "", "n_real": 3, "n_fake": 4}
    every |= {"reported": 6.79, "reported_paper": 1.85}
    rows = [row_of(FAD_TABLE.columns, **known | genre) for genre in (classical, every)]
    write(options.metrics / "fad_results.csv", *rows)
    (options.metrics / "fad_results.png").write_bytes(b"png")
    page = made(options)
    assert_sound(page)
    table = page.cells[: 2 * len(FAD_TABLE.columns)]
    classical, every = table[: len(FAD_TABLE.columns)], table[len(FAD_TABLE.columns) :]
    assert classical[:7] == ["32", "generator", "classical", "99", "1,200", "0.500", "12.3"]
    assert classical[-2:] == ["10.34", "1.80"]
    assert every[6] == "8.8" and every[-2:] == ["6.79", "1.85"]
    assert every[12] == "\N{EN DASH}", "no FAD for infinitely many clips"
    assert "reported: 6.79 (by AST), by [1]: 1.85, both on other music" in page.text
    assert "8.77" in page.text, "the headline"
    assert "net <1>" in page.text and "piano.sf2 (abc123)" in page.text
    assert "fad_results.csv, T = 64" in page.text, "it has rows of one T"
    assert base64.b64decode(page.all("img")[0]["src"].split(",")[1]) == b"png"


def test_published_values_do_not_stand_beside_other_genres(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path)
    known = {"T": 32, "genre_id": -1, "genre_name": "all", "embedder": "net"}
    write(options.metrics / "fad_results.csv", row_of(FAD_TABLE.columns, **known))
    page = made(options)
    assert len(page.cells) == len(FAD_TABLE.columns) - 2
    assert "6.79" not in page.text


def test_the_page_shows_what_the_evaluations_write(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path)
    places = {name: getattr(options, name) for name in ("store", "checkpoints", "metrics")}
    mse = eval_mse.eval_mse(eval_mse.Options(**places, seq_lens=(32,), device="cpu"))
    elbo = eval_elbo.eval_elbo(eval_elbo.Options(**places, seq_lens=(32,), device="cpu"))
    music = eval_music.eval_music(eval_music.Options(**places, seq_lens=(32,), clips=4))
    genre_options = eval_genre.Options(**places, seq_lens=(32,), clips=4, classifier_steps=2, cache=tmp_path / "cache")
    genre = eval_genre.eval_genre(genre_options)
    page = made(options)
    assert_sound(page)
    for figure in (
        frame[column].iloc[-1]
        for frame, column in ((mse, "MSE_zeros"), (elbo, "bits_per_cell"), (music, "real"), (genre, "accuracy_real"))
    ):
        assert any(cell and abs(float(cell) - figure) < 0.006 * abs(figure) for cell in numbers(page))
    assert "Not made like" not in page.text
    missing = re.findall(r"\w+-T32.csv", " ".join(re.findall(r"Not here: (.*?)\.\s", page.text)))
    assert missing == ["latent-T32.csv"]


def numbers(page: Page) -> list[str]:
    return [cell for cell in page.cells if re.fullmatch(r"[\d.]+", cell)]


def test_results_of_other_weights_or_settings_are_told(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path)
    places = {name: getattr(options, name) for name in ("store", "checkpoints", "metrics")}
    eval_music.eval_music(eval_music.Options(**places, seq_lens=(32,), clips=4, seed=5))
    text = made(options).text
    assert "Not made like the clips on this page (seed 5, here 0): make it again." in text
    eval_music.eval_music(eval_music.Options(**places, seq_lens=(32,), clips=4))
    options_for(tiny_store, tmp_path)  # the same weights again
    assert "Not made like" not in made(options).text
    trained = open_clip_sources(options)[0].trained
    save_weights(trained.model, trained.path, genres=trained.genres, frames_per_second=16, seq_len=32, labels="other")
    told = re.search(
        r"Not made like .*hybrid_G_best_T32.pth (\w{12}), here (\w{12})\): make it again", made(options).text
    )
    assert told and told[1] != told[2]


def test_damage_and_latents(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path)
    every = {"T": 32, "genre_id": -1, "genre_name": "all"}
    damage = row_of(DAMAGE_TABLE.columns, T=32, damage="random <pitches>", embedder="net", FAD=77.7)
    write(options.metrics / "fad_sanity.csv", damage)
    latent = row_of(LATENT_TABLE.columns, **every, space="z hybrid", view="mean", silhouette=-0.125)
    write(options.metrics / "latent-T32.csv", latent, latent | {"genre_id": 0, "silhouette": 0.999})
    page = made(options)
    assert_sound(page)
    assert {"random <pitches>", "77.7", "z hybrid"} <= set(page.cells)
    assert "\N{MINUS SIGN}0.125" in page.cells and "0.999" not in page.cells


def test_a_table_of_another_version_is_refused(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path)
    write(options.metrics / "fad_sanity.csv", {"T": 32, "embedder": "net"})
    with pytest.raises(UserError, match=r"fad_sanity.csv: has no column damage; .* make it again"):
        report.report(options)
    (options.metrics / "fad_sanity.csv").write_text("T,embedder\n", encoding="utf-8")
    with pytest.raises(UserError, match="has no rows"):
        report.report(options)


def epoch(seq_len: int, number: int, train: dict[str, float], val: dict[str, float]) -> str:
    return json.dumps({"phase": f"T={seq_len}", "epoch": number, "train": train, "val": val}) + "\n"


def test_curves_on_the_page(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path)
    (options.runs / "cvae").mkdir(parents=True)
    log = options.runs / "cvae" / "epochs.jsonl"
    log.write_text(epoch(32, 1, {"kl": 10.0}, {"negative_elbo": 459.17}), encoding="utf-8")
    page = made(options)
    assert_sound(page)
    assert "negative elbo" in page.text and "459" in page.text
    assert str(log) not in page.text and str(options.runs / "hybrid" / "epochs.jsonl") in page.text
    log.write_text("{}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"epochs.jsonl: not the log of a training run; .*--runs"):
        report.report(options)
