"""programs.study_generate: the files it writes, what is in them, what it prints, and what it refuses."""

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
from tiny_models import save_adversarial_vae, save_measure_vae

from common.errors import UserError, run_command
from explainable import melody_files
from explainable.melodies.midi_melody import read_midi_melody
from explainable.melodies.tunes import Note
from explainable.melody_files import melody_midi, melody_roll
from explainable.tokens import MEASURE, PHRASE, TokenForm, decode, encode
from models import weight_files
from models.checkpoint import CheckpointError
from programs.study_generate import Options, generate, read_options

TUNE = "X:1\nT:One\nM:4/4\nL:1/8\nK:C\nC2DE G2Bc|z8|(5CDEFG A2A4|A2A2A2A2|]\n"
WALTZ = "X:2\nT:Two\nM:3/4\nL:1/4\nK:C\nCDE|FGA|]\n"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {
        "measure_vae": save_measure_vae(folder / "measure_vae.pth"),
        "adversarial_vae": save_adversarial_vae(folder / "adversarial_vae.pth"),
    }


@pytest.fixture
def tune(tmp_path: Path) -> Path:
    (tmp_path / "tunes.abc").write_text(f"{TUNE}\n{WALTZ}", encoding="utf-8")
    return tmp_path / "tunes.abc"


def table(text: str) -> dict[str, list[str]]:
    return {words[0]: words[1:] for words in map(str.split, text.splitlines()) if words}


def error_line(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: generate(read_options(list(map(str, arguments)))), CheckpointError)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("network", ["measure_vae", "adversarial_vae"])
def test_new_measures(network: str, weights: dict[str, Path], tmp_path: Path, capsys) -> None:
    options = Options(weights=weights[network], changes=("note_density=0.5",), count=3, output=tmp_path / "out")
    *files, sheet = generate(options)
    assert [path.name for path in files] == [f"tiny_{network}_seed0_density0.5_00{number}.mid" for number in range(3)]
    assert sheet.name == f"tiny_{network}_seed0_density0.5_sheet.png" and sheet.read_bytes()[:4] == b"\x89PNG"
    assert sorted(options.output.iterdir()) == sorted([*files, sheet])
    rows = table(capsys.readouterr().out)
    midis = [pretty_midi.PrettyMIDI(str(path)) for path in files]
    counts = [sum(len(instrument.notes) for instrument in midi.instruments) for midi in midis]
    assert float(rows["note_density"][2]) == pytest.approx(np.mean(counts) / 24, abs=1e-3)
    assert rows["note_density"][1] == "0.5" and rows["note_range"][1] == "-"


def test_a_melody_depends_on_its_seed_and_number_alone(weights: dict[str, Path], tmp_path: Path) -> None:
    def contents(folder: str, **changes: object) -> dict[str, bytes]:
        what = {"weights": weights["measure_vae"], "count": 3, "measures": 2, "output": tmp_path / folder}
        *files, _ = generate(Options(**{**what, **changes}))
        return {path.name[-7:]: path.read_bytes() for path in files}

    three = contents("three")
    assert len(set(three.values())) == 3
    assert contents("one", count=1) == {"000.mid": three["000.mid"]}
    assert contents("other", seed=1) != three


def test_what_is_asked_otherwise_goes_to_other_files(weights: dict[str, Path], tune: Path, tmp_path: Path) -> None:
    def names(**what: object) -> set[Path]:
        return set(generate(Options(weights=weights["measure_vae"], output=tmp_path / "out", **what)))

    changes = "note_density=0.5", "note_density=0.4", "note_range=0.4"
    calls = [{"count": 1, "changes": (change,)} for change in changes]
    calls += [{"count": 1, "measures": 2}, {"count": 1, "measures": 2, "correlation": 0.5}, {"count": 1}]
    calls += [{"source": tune, "changes": (change,)} for change in (*changes, "note_range=+0.4", "note_range=-0.4")]
    written = [names(**call) for call in calls]
    assert sum(map(len, written)) == len(set().union(*written)) == len(list((tmp_path / "out").iterdir()))
    assert names(**calls[0]) == written[0]


def test_options_that_do_not_go_together(weights: dict[str, Path], tune: Path, capsys) -> None:
    for of_new in (("--count", 1), ("--measures", 2), ("--correlation", 0.5), ("--seed", 3)):
        line = error_line(capsys, "--weights", weights["measure_vae"], "--from", tune, *of_new)
        assert f"{of_new[0]} is of new melodies; leave out it or --from" in line
    for of_source in (("--tune", 2), ("--guess-melody",)):
        line = error_line(capsys, "--weights", weights["measure_vae"], *of_source)
        assert f"{of_source[0]} needs --from" in line
    assert "leave one out" in error_line(capsys, "--weights", weights["measure_vae"], "--model", "measure_vae")


def test_no_more_measures_than_fit() -> None:
    assert Options(count=50_000, measures=2).count == 50_000
    with pytest.raises(UserError, match="--count 50001 times --measures 2 must be at most 100000"):
        Options(count=50_001, measures=2)


def test_measures_stand_in_a_row(weights: dict[str, Path], tmp_path: Path) -> None:
    same = Options(weights=weights["measure_vae"], count=1, measures=3, correlation=1.0, output=tmp_path, wav=True)
    midi, sound, _ = generate(same)
    notes = pretty_midi.PrettyMIDI(str(midi)).instruments[0].notes
    parts = [[(note.pitch, round(note.start % 2, 6)) for note in notes if note.start // 2 == k] for k in range(3)]
    assert parts[0] and parts[0] == parts[1] == parts[2], "the same z, the same measure"
    with wave.open(str(sound)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert file.getframerate() == 16_000 and len(samples) > 4 * 16_000 and samples.any()


@pytest.mark.parametrize("network", ["measure_vae", "adversarial_vae"])
def test_a_tune_is_changed(network: str, weights: dict[str, Path], tune: Path, tmp_path: Path, capsys) -> None:
    options = Options(weights=weights[network], source=tune, changes=("note_density=+0.1",), output=tmp_path / "out")
    original, changed, sheet = generate(options)
    begin, words = f"tunes_1_tiny_{network}_density+0.1", ("original.mid", "changed.mid", "sheet.png")
    assert [path.name for path in (original, changed, sheet)] == [f"{begin}_{word}" for word in words]
    told = capsys.readouterr().out
    assert "1 of 4 measures left out: without a note" in told and "1 of 4 measures left out: off the grid" in told
    assert "tunes/1: " in told and "of the tokens come back where nothing is asked" in told
    rows = table(told)
    # Six notes, and four: of 24 ticks each.
    assert float(rows["note_density"][0]) == pytest.approx(5 / 24, abs=1e-4)
    assert float(rows["note_density"][1]) == pytest.approx(5 / 24 + 0.1, abs=1e-4)
    read = next(read_midi_melody(original))
    assert [note.pitch for note in read.notes] == [60, 62, 64, 67, 71, 72, 69, 69, 69, 69]
    assert [note.onset for note in read.notes][:4] == [0, 1, Fraction(3, 2), 2]


def test_a_tune_below_the_range_comes_back_where_it_was(weights: dict[str, Path], tmp_path: Path, capsys) -> None:
    low = tmp_path / "low.abc"
    low.write_text("X:1\nT:Low\nM:4/4\nL:1/4\nK:C\nC,,D,,E,,F,,|]\n", encoding="utf-8")
    original, *_ = generate(Options(weights=weights["measure_vae"], source=low, output=tmp_path / "out"))
    assert [note.pitch for note in next(read_midi_melody(original)).notes] == [36, 38, 40, 41]


def test_what_a_file_holds_that_cannot_be_used(weights: dict[str, Path], tune: Path, capsys) -> None:
    which = "--weights", weights["measure_vae"], "--from"
    assert "tune 2 cannot be used: not in 4/4 (3/4); known are 4/4" in error_line(capsys, *which, tune, "--tune", 2)
    assert "holds 2 tunes; name another with --tune" in error_line(capsys, *which, tune, "--tune", 3)
    assert "a folder; name one file" in error_line(capsys, *which, tune.parent)
    assert "no such file or folder" in error_line(capsys, *which, tune.parent / "none.mid")
    assert "no file of melodies; known are" in error_line(capsys, *which, weights["measure_vae"])
    tune.write_text(TUNE.replace("4/4", "4/4\nL:1/64", 1).replace("C2DE G2Bc|z8|(5CDEFG A2A4|A2A2A2A2", "z64"))
    assert "tune 1 cannot be used: no note" in error_line(capsys, *which, tune)


def test_unknown_attributes_and_values(weights: dict[str, Path], capsys) -> None:
    which = "--weights", weights["measure_vae"], "--set"
    assert "unknown attribute 'tempo'; known are rhythmic_complexity" in error_line(capsys, *which, "tempo=3")
    assert "write an attribute and a number" in error_line(capsys, *which, "note_density")
    assert "name it with --from" in error_line(capsys, *which, "note_density=+1")
    assert "note_range is between 0 and 1.12" in error_line(capsys, *which, "note_range=2")


def test_what_is_set_stands_with_spaces_or_commas() -> None:
    for words in (["--set", "a=1", "b=2", "--seed", "3"], ["--seed", "3", "--set", "a=1,b=2"]):
        options = read_options(words)
        assert options.changes == ("a=1", "b=2") and options.seed == 3


def test_melodies_without_notes_are_told(weights: dict[str, Path], tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("programs.study_generate.decode", lambda *_: [])
    generate(Options(weights=weights["measure_vae"], count=2, output=tmp_path))
    assert "2 of the 2 melodies have no notes" in capsys.readouterr().out


@pytest.mark.parametrize("form", [MEASURE, PHRASE], ids=lambda form: form.name)
def test_notes_are_written_exactly(form: TokenForm, tmp_path: Path) -> None:
    times = [form.ticks[k % len(form.ticks)] + k // len(form.ticks) for k in range(16)]
    ends = [*times[1:], Fraction(4)]
    notes = [Note(time, 60 + k % 3, end) for k, (time, end) in enumerate(zip(times, ends, strict=True))]
    with (tmp_path / "notes.mid").open("wb") as file:
        melody_midi(notes).write(file)
    assert list(next(read_midi_melody(tmp_path / "notes.mid")).notes) == notes
    tokens = encode(notes, form.with_range(50, 90), start=Fraction(0), end=Fraction(4))
    assert decode(tokens, form.with_range(50, 90)) == notes
    assert decode(tokens, form.with_range(50, 90), -2)[0].pitch == 58
    assert decode(np.full(24, form.hold), form) == []


def test_repeated_notes_are_seen_apart() -> None:
    notes = [Note(Fraction(0), 60, Fraction(1)), Note(Fraction(1), 60, Fraction(13, 12))]
    roll = melody_roll(notes, 1)
    assert roll.shape == (128, melody_files.MEASURE_FRAMES) == (128, 48)
    assert roll[60].nonzero()[0].tolist() == [*range(11), 12] and roll.sum() == 12


def test_without_weights_the_only_run_is_loaded_or_else_the_repositorys_model(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_files, "RELEASED", tmp_path / "released")
    runs, shipped = tmp_path / "checkpoints", tmp_path / "released" / "explainable" / "adversarial_vae.pth"
    with pytest.raises(CheckpointError, match=r"attribute_vae.pth: no such checkpoint; train it"):
        Options(checkpoints=runs).load()
    save_adversarial_vae(shipped)
    assert Options(model="adversarial_vae", checkpoints=runs).load().path == shipped
    own = save_measure_vae(runs / "explainable" / "set" / "measure_vae_z5" / "vae_best.pth")
    assert Options(checkpoints=runs).load().path == Options(checkpoints=runs, model="measure_vae").load().path == own
    assert Options(model="adversarial_vae", checkpoints=runs).load().path == shipped, "a run of another model"
    save_adversarial_vae(runs / "explainable" / "set" / "adversarial_vae_z5" / "vae_best.pth")
    with pytest.raises(CheckpointError, match=r"2 runs, .*; name one with --weights, or its model with --model"):
        Options(checkpoints=runs).load()
    save_measure_vae(runs / "explainable" / "other" / "measure_vae_z5" / "vae_best.pth")
    with pytest.raises(CheckpointError, match=r"2 runs, such as [^;]*; name one with --weights$"):
        Options(model="measure_vae", checkpoints=runs).load()


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(UserError, match="--model must be one of measure_vae, adversarial_vae, attribute_vae"):
        Options(model="nonsense")
