"""report.py: the page shows all results and clips, names what is missing, and marks what is out of date."""

import base64
import contextlib
import io
import json
import re
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from pages import Page, options_for
from weights import save_weights

import eval_elbo
import eval_genre
import eval_mse
import eval_music
import report
from common.errors import UserError
from evaluation.metrics.damage import DAMAGE_TABLE
from evaluation.metrics.fad import FAD_TABLE
from evaluation.metrics.restyling import RESTYLING_TABLE
from evaluation.metrics.separation import LATENT_TABLE
from evaluation.samples.clips import open_clip_sources
from evaluation.samples.songs import RealSongs
from evaluation.tables import REPORTED, Column
from figures.pitch_range import pitch_range
from page.listening import note_path
from page.options import ReportOptions


def write(path: Path, *rows: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False)


def places(options: ReportOptions) -> dict[str, object]:
    """The folders of a page, for the options of an evaluation."""
    return {name: getattr(options, name) for name in ("store", "checkpoints", "metrics")}


def row_of(columns: Sequence[Column], **known: object) -> dict[str, object]:
    """A row with 0.5 in every other column."""
    figures = {column.key: 0.5 for column in columns if column.kind != REPORTED}
    facts = dict.fromkeys((*FAD_TABLE.protocol, *RESTYLING_TABLE.protocol), 0)
    return figures | facts | {"condition": "genre", "reported": "", "reported_paper": ""} | known


def made(options: ReportOptions) -> Page:
    return Page(report.report(options).read_text(encoding="utf-8"))


def test_page_without_results_names_what_is_missing_and_plays_the_clips(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path, ["R&B <x>", 'a"b', "bass"])
    page = made(options)
    page.assert_sound()
    assert page.all("html", lang="en")
    text = " ".join(page.text.split())
    folders = f"--store {options.store} --metrics {options.metrics} --checkpoints {options.checkpoints[0]}"
    for files, command in {
        "fad_results.png, fad_results.csv": f"eval_fad_samples.py {folders}",
        "music-T32.csv, music-T64.csv": f"eval_music.py {folders} --seq-len 32,64",
        "genre-T32.csv, genre-T64.csv": f"eval_genre.py {folders} --seq-len 32,64",
        "eval_mse-T32.csv, eval_mse-T64.csv": f"eval_mse.py {folders} --seq-len 32,64",
        "eval_elbo-T32.csv, eval_elbo-T64.csv": f"eval_elbo.py {folders} --seq-len 32,64",
        "restyling-T32.csv, restyling-T64.csv": f"-m programs.restyle {folders} --seq-len 32,64",
        "genre_likelihood-T32.png, genre_likelihood-T64.png, genre_likelihood-T32.csv, genre_likelihood-T64.csv": (
            f"-m programs.genre_likelihood {folders} --seq-len 32,64"
        ),
        "probes-T32.csv, probes-T64.csv": f"-m programs.probes {folders} --seq-len 32,64",
        "fad_sanity.csv": f"-m programs.damage --store {options.store} --metrics {options.metrics}",
        "latent_tsne-T32.png, rolls_embedding-T32.png, latent-T32.csv": (
            f"-m programs.latent_plots {folders} --seq-len 32"
        ),
        f"{options.runs / 'cgan' / 'epochs.jsonl'}": f"train_cgan.py --store {options.store}",
    }.items():
        assert f"Missing: {files}. Made by python {command}" in text
    # One real and two generated clips of three genres at two T.
    assert len(page.all("audio")) == 18
    assert all(has["preload"] == "none" and "controls" in has for has in page.all("audio"))
    audio, rate = soundfile.read(io.BytesIO(base64.b64decode(page.all("audio")[0]["src"].split(",")[1])))
    assert rate == 16_000 and len(audio) == pytest.approx(128 + 32, abs=1200)
    assert "R&B <x>" in page.text and 'a"b' in page.text and not page.all("x")
    assert any('generated a"b clip 1' in has["aria-label"] for has in page.all("svg"))


def test_pictures_show_the_clips_that_are_evaluated(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path, seed=3)
    page = made(options)
    source = open_clip_sources(options)[1]
    rolls = []
    for genre_id in range(3):
        rolls += [*source.real.clips(genre_id, 0, 1), *source.clips(genre_id, 0, 2)]
    notes = [has["d"] for has in page.all("path") if has.get("class") == "notes"]
    assert notes[:9] == [note_path(roll, pitch_range(rolls)) for roll in rolls]
    assert page.all("svg")[0]["viewbox"].startswith("0 0 80.0 "), "4 s and 1 s of decay, as long as the sound"


def test_pieces_stand_beside_the_first_long_song(tiny_store: Path, tmp_path: Path) -> None:
    """Twelve seconds of songs of 26 s: a song and a piece of each genre, of the CVAE rather than the generator."""
    options = options_for(tiny_store, tmp_path, sources=("generator", "cvae"), piece_minutes=0.2)
    page = made(options)
    page.assert_sound()
    source = open_clip_sources(options)[3]
    assert (source.trained.model.kind, source.seq_len) == ("cvae", 64)
    songs = RealSongs(source.real.windows.store, "test", 0, 2, 192)
    rolls = [roll for k in range(3) for roll in (*songs.rolls(k, 1), *source.pieces(k, 1, 3))]
    wide = [(has["aria-label"], has["viewbox"]) for has in page.all("svg") if has["viewbox"].startswith("0 0 208.0 ")]
    assert len(wide) == 6 and all("in 12 seconds" in label for label, _ in wide)
    assert [label.partition(" piece 0, T = 64")[0] for label, _ in wide[:2]] == [
        f"Piano roll of {origin} chords" for origin in ("real", "generated")
    ]
    notes = {has["d"] for has in page.all("path") if has.get("class") == "notes"}
    assert {note_path(roll, pitch_range(rolls)) for roll in rolls} <= notes
    assert "Pieces of 0.2 minutes" in page.text
    for minutes in (0, 0.5):
        assert "Pieces of 0" not in made(replace(options, piece_minutes=minutes)).text, "none, and too long"


def test_a_signal_is_answered_although_the_encoder_swallows_errors(
    tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swallowing(audio: object, compression: float) -> bytes:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return b"spoilt"

    monkeypatch.setattr("page.listening.encode_mp3", swallowing)
    options = options_for(tiny_store, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        report.report(options)
    assert not (options.metrics / "report.html").exists()


def test_empty_clips_are_shown_as_empty(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path, threshold=1.0)
    page = made(options)
    assert len(page.all("audio")) == 6, "one real clip of three genres at two T"
    assert len(page.all("p", **{"class": "silent soft"})) == 12 and page.text.count("0 notes") >= 12


def fad_row(genre_id: int, name: str, **known: object) -> dict[str, object]:
    facts = {"embedder": "net <1>", "synth": "synth 7", "soundfont": "piano.sf2", "soundfont_sha256": "abc123"}
    known = {"T": 32, "origin": "generator", "genre_id": genre_id, "genre_name": name, "note": "", **facts, **known}
    return row_of(FAD_TABLE.columns, **known)


def test_published_values_are_shown_and_marked(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path, ["classical", "jazz", "rock"])
    classical = {"FAD": 12.3456, "n_real": 99, "n_fake": 1200, "reported": 10.34, "reported_paper": 1.8}
    every = {"FAD": 8.7654, "FAD_infinity": "", "n_real": 3, "n_fake": 4, "reported": 6.79, "reported_paper": 1.85}
    rows = fad_row(0, "classical", **classical), fad_row(-1, "all", **every)
    write(options.metrics / "fad_results.csv", *rows)
    (options.metrics / "fad_results.png").write_bytes(b"png")
    page = made(options)
    page.assert_sound()
    ((_, cells),) = [table for table in page.tables if table[0].startswith("net <1>") and len(table[1]) > 20]
    classical, every = cells[: len(FAD_TABLE.columns)], cells[len(FAD_TABLE.columns) :]
    assert classical[:7] == ["32", "generator", "classical", "99", "1,200", "0.500", "12.3"]
    assert classical[-2:] == ["10.34", "1.80"]
    assert every[6] == "8.8" and every[-2:] == ["6.79", "1.85"]
    assert every[12] == "\N{EN DASH}", "no FAD for infinitely many clips"
    assert "net <1>" in page.text and "piano.sf2 (abc123)" in page.text
    assert "fad_results.csv, T = 64" in page.text, "it has rows of one T"
    assert base64.b64decode(page.all("img")[0]["src"].split(",")[1]) == b"png"
    write(options.metrics / "fad_results.csv", fad_row(-1, "all"))
    page = made(options)
    assert len(page.tables[-1][1]) == len(FAD_TABLE.columns) - 2, "no columns of published values for other genres"


def test_the_page_shows_what_the_evaluations_write(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path)
    given = {**places(options), "seq_lens": (32,)}
    mse = eval_mse.eval_mse(eval_mse.Options(**given, device="cpu"))
    elbo = eval_elbo.eval_elbo(eval_elbo.Options(**given, device="cpu"))
    music = eval_music.eval_music(eval_music.Options(**given, clips=4))
    quick = {"clips": 4, "classifier_steps": 2, "cache": tmp_path / "cache"}
    genre = eval_genre.eval_genre(eval_genre.Options(**given, **quick))
    page = made(options)
    page.assert_sound()
    numbers = [float(cell) for cell in page.cells if re.fullmatch(r"[\d.]+\d", cell)]
    for frame, column in ((mse, "MSE_zeros"), (elbo, "bits_per_cell"), (music, "real"), (genre, "accuracy_real")):
        assert any(number == pytest.approx(frame[column].iloc[-1], rel=0.006) for number in numbers)
    assert "Out of date" not in page.text
    missing = re.findall(r"\w+-T32.csv", " ".join(re.findall(r"Missing: (.*?)\. Made", page.text)))
    assert missing == ["genre_likelihood-T32.csv", "restyling-T32.csv", "latent-T32.csv", "probes-T32.csv"]


def test_results_of_other_weights_or_settings_are_marked(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path)
    eval_music.eval_music(eval_music.Options(**places(options), seq_lens=(32,), clips=4, seed=5))
    assert "Out of date: seed 5, on this page 0. Make it again." in made(options).text
    eval_music.eval_music(eval_music.Options(**places(options), seq_lens=(32,), clips=4))
    options_for(tiny_store, tmp_path)  # the same weights again
    assert "Out of date" not in made(options).text
    trained = open_clip_sources(options)[0].trained
    save_weights(trained.model, trained.path, genres=trained.genres, frames_per_second=16, seq_len=32, labels="other")
    changed = rf"Out of date: weights \S*hybrid_G_best_T32.pth \({trained.sha256}\) have changed or are gone"
    assert re.search(changed, made(options).text)


def test_damage_restyling_and_latents(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path)
    damage = row_of(DAMAGE_TABLE.columns, T=32, damage="random <pitches>", embedder="net", FAD=77.7)
    write(options.metrics / "fad_sanity.csv", damage)
    restyling = row_of(RESTYLING_TABLE.columns, T=64, from_name="jazz", to_name="rock", target_after=0.875)
    write(options.metrics / "restyling-T64.csv", restyling)
    latent = row_of(LATENT_TABLE.columns, T=32, genre_id=-1, space="z hybrid", view="mean", silhouette=-0.125)
    write(options.metrics / "latent-T32.csv", latent, latent | {"genre_id": 0, "silhouette": 0.999})
    page = made(options)
    page.assert_sound()
    assert {"random <pitches>", "77.7", "jazz", "0.875", "z hybrid", "\N{MINUS SIGN}0.125"} <= set(page.cells)
    assert "0.999" not in page.cells
    assert "Missing: restyling-T32.csv. Made by" in page.text


def test_curves_on_the_page(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path)
    log = options.runs / "cvae" / "epochs.jsonl"
    log.parent.mkdir(parents=True)
    log.touch()
    assert f"Missing: {log}" in made(options).text, "no epoch is finished yet"
    epoch = {"phase": "T=32", "epoch": 1, "train": {"kl": 10.0}, "val": {"negative_elbo": 459.17}}
    log.write_text(json.dumps(epoch) + "\n", encoding="utf-8")
    page = made(options)
    page.assert_sound()
    assert page.all("img")[0]["alt"] == "Losses of train_cvae.py over 1 epochs."
    assert f"Missing: {log}" not in page.text and str(options.runs / "hybrid" / "epochs.jsonl") in page.text
    log.write_text("{}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"epochs.jsonl: not the log of a training run; .*--runs"):
        report.report(options)
