"""The comparison of given and shuffled labels."""

import csv
from pathlib import Path

import pytest
from frames import records

from common.errors import UserError
from evaluation.metrics.label_comparison import MEASURES
from programs import compare_labels


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


FACTS = {
    **{column.key: "" for measure in MEASURES for column in measure.table.columns},
    **{name: "same" for measure in MEASURES for name in measure.table.protocol},
    "checkpoint": "hybrid_G_best_T32.pth",
    "T": "32",
    "condition": "genre",
}
FIGURES = {
    "fad_results.csv": {"FAD": "4", "FAD_floor": "0.5", "KAD": "", "KAD_floor": "", "embedder": "ears"},
    "eval_elbo-T32.csv": {
        "ELBO_mean": "-200",
        "KL_Div_mean": "30",
        "bits_per_cell": "0.1",
        "bits_per_cell_pitch_mean": "0.2",
        "checkpoint": "hybrid_cvae_best_T32.pth",
    },
    "genre-T32.csv": {
        "accuracy_generated": "0.6",
        "accuracy_sounding": "0.7",
        "accuracy_real": "0.9",
        "chance": "0.5",
        "inception_generated": "1.5",
        "inception_real": "1.8",
    },
}


def write_results(metrics: Path, file: str, side: str, **changed: str) -> None:
    """A table of one row as an evaluation leaves it."""
    folder = metrics if side == "given" else metrics / side
    folder.mkdir(parents=True, exist_ok=True)
    name = {"genre_name": "all", "labels": side}
    row = {**FACTS, "origin": "maker", "genre_id": "-1", "checkpoint_sha256": side, **name, **FIGURES[file], **changed}
    with (folder / file).open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, list(row))
        writer.writeheader()
        writer.writerow(row)


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """A folder with the tables of both sides at T = 32."""
    for file in FIGURES:
        write_results(tmp_path / "metrics", file, "given")
    write_results(tmp_path / "metrics", "fad_results.csv", "shuffled", FAD="5.5")
    write_results(tmp_path / "metrics", "eval_elbo-T32.csv", "shuffled", ELBO_mean="-201")
    write_results(tmp_path / "metrics", "genre-T32.csv", "shuffled", accuracy_generated="0.5", accuracy_sounding="")
    return tmp_path / "metrics"


def test_both_sides_and_their_difference(metrics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = records(compare_labels.compare_labels(compare_labels.Options(metrics, (32,))))
    figures = {row["measure"]: [row[name] for name in ("given", "shuffled", "difference", "limit")] for row in rows}
    assert figures["FAD (ears)"] == [4, 5.5, 1.5, 0.5]
    assert figures["ELBO (report)"] == [-200, -201, -1, None]
    assert figures["accuracy"] == pytest.approx([0.6, 0.5, -0.1, 0.9])
    assert figures["of sounding clips"] == [0.7, None, None, 0.9]
    assert "KAD (ears)" not in figures, "neither side has it"
    assert {row["measure"]: row["trivial"] for row in rows}["bits per cell"] == 0.2
    assert "Not compared" not in capsys.readouterr().out
    written = read(metrics / "labels.csv")
    assert len(written) == len(rows) == 7
    assert (written[0]["given_checkpoint_sha256"], written[0]["shuffled_checkpoint_sha256"]) == ("given", "shuffled")


def test_missing_tables_are_named_with_their_commands(metrics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (metrics / "shuffled" / "genre-T32.csv").unlink()
    (metrics / "eval_elbo-T32.csv").unlink()
    (metrics / "shuffled" / "fad_results.csv").unlink()
    write_results(metrics, "fad_results.csv", "shuffled", T="64")
    write_results(metrics, "genre-T32.csv", "shuffled")
    options = compare_labels.Options(metrics, (32, 64), Path("my store"), Path("weights"))
    rows = records(compare_labels.compare_labels(options))
    assert {row["measure"] for row in rows} == {"accuracy", "of sounding clips", "inception score"}
    commands = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("    python")]
    given = f"--store 'my store' --checkpoints weights --metrics {metrics}"
    shuffled = f"--store 'my store' --checkpoints weights/shuffled --metrics {metrics}/shuffled"
    assert commands == [
        f"python eval_fad_samples.py {shuffled} --seq-len 32,64",
        f"python eval_elbo.py {given} --seq-len 32",
        f"python eval_fad_samples.py {given} --seq-len 32,64",
        f"python eval_elbo.py {given} --seq-len 64",
        f"python eval_elbo.py {shuffled} --seq-len 64",
        f"python eval_genre.py {given} --seq-len 64",
        f"python eval_genre.py {shuffled} --seq-len 64",
    ]


def test_nothing_to_compare_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no table is there for both labels; run .* --checkpoints checkpoints/shuffled$"
    ):
        compare_labels.compare_labels(compare_labels.Options(tmp_path))


@pytest.mark.parametrize(
    ("file", "changed", "message"),
    [
        ("fad_results.csv", {"soundfont_sha256": "b"}, "soundfont_sha256 is b, but same in"),
        ("fad_results.csv", {"embedder": "others"}, "only one has the row ears maker -1; make both alike"),
        ("eval_elbo-T32.csv", {"store_content": "b"}, "store_content is b, but same in"),
        ("genre-T32.csv", {"classifier": "b"}, "classifier is b, but same in"),
        ("genre-T32.csv", {"labels": "given"}, "its weights were trained with given labels, not shuffled"),
        ("genre-T32.csv", {"checkpoint_sha256": "b"}, "hybrid_G_best_T32.pth is another than in the tables beside it"),
    ],
)
def test_what_does_not_compare_is_refused(file: str, changed: dict[str, str], message: str, metrics: Path) -> None:
    write_results(metrics, file, "shuffled", **changed)
    with pytest.raises(UserError, match=message):
        compare_labels.compare_labels(compare_labels.Options(metrics, (32,)))
