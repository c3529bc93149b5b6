"""The order of the page: clips, the chart that compares the sources, the main numbers, then folded tables."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pages import Page, options_for

import eval_elbo
import eval_mse
import eval_music
from evaluation.metrics.fad import FAD_TABLE
from evaluation.metrics.genre_accuracy import GENRE_TABLE
from evaluation.statistics.features import FEATURES
from page.assemble import make_page
from page.comparison import Mark, compare_sources
from page.findings import show_findings
from page.options import ReportOptions
from page.result_folder import ResultFolder
from page.tables import NONE, show_number

SOURCES = ("A: generator", "B: cvae")


def fad_row(seq_len: int, origin: str, **known: Any) -> dict[str, Any]:
    """A row over all genres, with 0.5 where nothing is known."""
    row = {column.key: 0.5 for column in FAD_TABLE.columns} | dict.fromkeys(FAD_TABLE.protocol, 0)
    return {
        **row,
        "T": seq_len,
        "origin": origin,
        "genre_id": -1,
        "genre_name": "all",
        "note": "",
        "embedder": "net",
    } | known


def test_listening_comes_first_and_tables_are_folded(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path, sources=("generator", "cvae"))
    options.metrics.mkdir()
    FAD_TABLE.write(pd.DataFrame([fad_row(64, name) for name in SOURCES]), options.metrics)
    page = Page(make_page(options))
    sections = [has["id"] for tag, has in page.elements if tag == "section"]
    assert sections[:5] == ["listen", "compare", "findings", "results", "fad"] and sections[-1] == "protocol"
    assert [has["id"] for tag, has in page.unfolded if tag == "section"] == sections[:4]
    tags = [tag for tag, _ in page.elements]
    assert tags.index("audio") < tags.index("table"), "the first sound comes before the first table"
    first = [has["aria-label"] for tag, has in page.unfolded if tag == "svg"]
    made_by = [f"{options.checkpoints[0]}: {network}, normal" for network in ("generator (mlp)", "cvae (frame-gru)")]
    names = ("real {} clip 0, T = 64", *(f"generated {{}} clip 0, T = 64, {each}" for each in made_by))
    wanted = [name.format(genre) for genre in ("chords", "melody", "bass") for name in names]
    assert [label.removeprefix("Piano roll of ").rpartition(": ")[0] for label in first] == wanted, "of the longest T"
    assert len(page.all("svg")) == 3 * 2 * (1 + 2 * 2), "real clips once, not once a source"
    unfolded = [has for tag, has in page.unfolded if tag == "table"]
    assert unfolded[0] == {"class": "chart"} and len(unfolded) == 2


def test_places_on_the_chart() -> None:
    real = {"FAD_floor": 1.0, "FAD_floor_std": 0.0, "FAD_train": 10.0}
    rows = [
        fad_row(128, "A", FAD=100.0, FAD_seeds_std=90.0, **real),
        fad_row(32, "A", FAD=math.nan, **dict.fromkeys(real, math.nan)),
        fad_row(128, "B", FAD=10.0, FAD_seeds_std=math.nan, **real),
        fad_row(128, "A", FAD=1.0, genre_id=0, **real),
        fad_row(128, "A", FAD=3.0, embedder="other", **{**real, "FAD_floor": 2.0}),
    ]
    chart, other = compare_sources(pd.DataFrame(rows))
    assert (chart.embedder, other.embedder) == ("net", "other") and chart.seq_lens == [32, 128]
    place = {value: pytest.approx(100 * (math.log10(value) + 0.1) / 2.2) for value in (1, 10, 100)}
    assert chart.ticks == [("1", place[1]), ("10", place[10]), ("100", place[100])]
    assert chart.bands[1] == (place[1], place[10])
    assert [(name, is_real) for name, is_real, _ in chart.rows] == [
        ("real clips: floor", True), ("training clips", True), ("A", False), ("B", False)
    ]  # fmt: skip
    ten = Mark("10", *3 * [place[10]])
    marks = [cells for *_, cells in chart.rows]
    assert [cells[0] for cells in marks] == [[], [], [], []], "a T without a distance"
    assert marks[0][1] == [Mark("1", *3 * [place[1]])] and marks[1][1] == marks[3][1] == [ten]
    assert marks[2][1] == [Mark("100", place[100], place[10], 100)], "its spread ends with the axis"
    assert [text for text, _ in other.ticks] == ["2", "5", "10"]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(1, 1000, "1 10 100 1000"), (3, 60, "5 10 20 50"), (0.21, 0.49, "0.3 0.4 0.5"), (3.2, 3.5, "3.2 3.3 3.4 3.5")],
)
def test_an_axis_of_any_width_has_ticks(low: float, high: float, ticks: str) -> None:
    (chart,) = compare_sources(pd.DataFrame([fad_row(32, "A", FAD=high, FAD_floor=low, FAD_train=low)]))
    assert [text for text, _ in chart.ticks] == ticks.split()


def test_a_distance_of_zero_is_at_the_left_end() -> None:
    (chart,) = compare_sources(pd.DataFrame([fad_row(32, "A", FAD=0.0, FAD_floor=0.0, FAD_train=0.0)]))
    assert all(cells == [[Mark(cells[0][0].text, 0, 0, cells[0][0].high)]] for *_, cells in chart.rows)


def test_main_numbers_are_those_of_the_tables(tiny_store: Path, tmp_path: Path) -> None:
    options = options_for(tiny_store, tmp_path)
    folder = ResultFolder(options, ["chords", "melody", "bass"], "genre", [32], {})
    assert show_findings(folder) == []
    given = {"store": options.store, "checkpoints": options.checkpoints, "metrics": options.metrics, "seq_lens": (32,)}
    music = eval_music.eval_music(eval_music.Options(**given, clips=4, novelty_clips=2)).query("genre_id == -1")
    (clips,) = show_findings(folder)
    features = music[music["feature"].isin(FEATURES)].fillna({"overlap_area": 0}).mean(numeric_only=True)
    memorised = music[music["feature"] == "memorised"].iloc[0]
    origin = f"{options.checkpoints[0]}: generator (mlp), normal"
    assert [[cell.text for cell in line] for line, _ in clips.lines] == [
        ["real clips", f"{features['overlap_halves']:.2f}", f"{memorised['real']:.2f}", "0.00"],
        ["training clips", f"{features['overlap_training']:.2f}", NONE, NONE],
        [origin, f"{features['overlap_area']:.2f}", f"{memorised['generated']:.2f}", "0.00"],
    ]
    FAD_TABLE.write(
        pd.DataFrame([fad_row(32, origin, FAD_floor=2.0, FAD_train=3.0, FAD_over_floor=7.5), fad_row(64, origin)]),
        options.metrics,
    )
    mse = eval_mse.eval_mse(eval_mse.Options(**given, device="cpu")).query("genre_id == -1").iloc[0]
    elbo = eval_elbo.eval_elbo(eval_elbo.Options(**given, device="cpu")).query("genre_id == -1").iloc[0]
    clips, cvaes = show_findings(folder)
    assert clips.source == "fad_results.csv, music-T32.csv" and clips.columns[1].heading == "FAD / floor"
    assert [line[1].text for line, _ in clips.lines] == ["1.00", "1.50", "7.50"]
    (line, _), keys = cvaes.lines[0], [column.key for column in cvaes.columns]
    found = dict(zip(keys, (cell.text for cell in line), strict=True))
    for row, key in ((elbo, "bits_per_cell_importance"), (elbo, "bits_per_cell_previous_frame"), (mse, "frame_F1")):
        assert found[key] == show_number(row[key])


def test_shares_of_recognised_clips(tmp_path: Path) -> None:
    row = {column.key: 0.5 for column in GENRE_TABLE.columns} | dict.fromkeys(GENRE_TABLE.protocol, 0)
    row |= {
        "T": 64,
        "genre_id": -1,
        "genre_name": "all",
        "origin": "A",
        "accuracy_generated": 0.25,
        "accuracy_real": 0.75,
    }
    GENRE_TABLE.write(pd.DataFrame([row, row | {"genre_id": 0, "accuracy_real": 1}]), tmp_path)
    options = ReportOptions(metrics=tmp_path)
    (clips,) = show_findings(ResultFolder(options, ["jazz"], "mood", [32, 64], {"seed": 3}))
    assert clips.columns[1].heading == "mood recognised"
    assert [[cell.text for cell in line] for line, _ in clips.lines] == [
        ["real clips", "0.75"], ["training clips", NONE], ["A", "0.25"]
    ]  # fmt: skip
    assert clips.notes == ["Out of date: seed 0, on this page 3. Make it again."]
