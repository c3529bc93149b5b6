"""programs.study_generate: the files it writes, their contents, the report, refusals, and the choice of weights."""

import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_adversarial_vae, save_measure_vae

from common.errors import UserError, run_command
from common.midi_library import pretty_midi
from explainable.melodies.midi_melody import read_midi_melody
from explainable.melodies.tunes import Note
from explainable.melody_files import MEASURE_FRAMES, melody_midi, melody_roll
from explainable.options import MelodyOptions
from explainable.tokens import MEASURE, PHRASE, TokenForm, decode, encode
from explainable.trained import load_chosen
from models import weight_files
from models.checkpoint import CheckpointError
from programs.study_generate import generate, read_options

TUNE = "X:1\nT:One\nM:4/4\nL:1/8\nK:C\nC2DE G2Bc|z8|(5CDEFG A2A4|A2A2A2A2|]\n"
WALTZ = "X:2\nT:Two\nM:3/4\nL:1/4\nK:C\nCDE|FGA|]\n"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {
        "measure_vae": save_measure_vae(folder / "measure_vae.pth"),
        "adversarial_vae": save_adversarial_vae(folder / "adversarial_vae.pth"),
    }


@pytest.fixture(params=["measure_vae", "adversarial_vae"])
def network(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def tune(tmp_path: Path) -> Path:
    (tmp_path / "tunes.abc").write_text(f"{TUNE}\n{WALTZ}", encoding="utf-8")
    return tmp_path / "tunes.abc"


def table(text: str) -> dict[str, list[str]]:
    return {words[0]: words[1:] for words in map(str.split, text.splitlines()) if words}


def test_default_options_give_eight_measures(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("models.weight_files.RELEASED", tmp_path / "released")
    save_measure_vae(tmp_path / "released/explainable/attribute_vae.pth")
    monkeypatch.chdir(tmp_path)
    *files, sheet = generate(read_options([]))
    assert files == [Path(f"samples/tiny_attribute_vae_seed0_{number:03d}.mid") for number in range(8)]
    assert sheet == Path("samples/tiny_attribute_vae_seed0_sheet.png") and sheet.read_bytes()[:4] == b"\x89PNG"
    assert "means over 8 decoded rows" in capsys.readouterr().out


def test_new_measures_have_the_reported_attributes(
    network: str, weights: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = MelodyOptions(weights=weights[network], changes=("note_density=0.5",), count=3, output=tmp_path / "out")
    *files, sheet = generate(options)
    assert [path.name for path in files] == [f"tiny_{network}_seed0_density0.5_00{number}.mid" for number in range(3)]
    assert sorted(options.output.glob("[!.]*")) == sorted([*files, sheet])
    rows = table(capsys.readouterr().out)
    midis = [pretty_midi.PrettyMIDI(str(path)) for path in files]
    counts = [sum(len(instrument.notes) for instrument in midi.instruments) for midi in midis]
    assert float(rows["note_density"][2]) == pytest.approx(np.mean(counts) / 24, abs=1e-3)
    assert rows["note_density"][1] == "0.5" and rows["note_range"][1] == "-"


def test_a_melody_depends_on_its_seed_and_number_alone(weights: dict[str, Path], tmp_path: Path) -> None:
    def contents(folder: str, **changes: object) -> dict[str, bytes]:
        options = {"weights": weights["measure_vae"], "count": 3, "measures": 2, "output": tmp_path / folder}
        *files, _ = generate(MelodyOptions(**{**options, **changes}))
        return {path.name[-7:]: path.read_bytes() for path in files}

    three = contents("three")
    assert len(set(three.values())) == 3
    assert contents("one", count=1) == {"000.mid": three["000.mid"]}
    assert contents("other", seed=1) != three


def test_other_changes_go_to_other_files(weights: dict[str, Path], tune: Path, tmp_path: Path) -> None:
    changes = "note_density=0.5", "note_density=0.4", "note_range=0.4"
    calls = [{"count": 1, "changes": (change,)} for change in changes]
    calls += [{"count": 1, "measures": 2}, {"count": 1, "measures": 2, "correlation": 0.5}, {"count": 1}]
    calls += [{"source": tune, "changes": (change,)} for change in (*changes, "note_range=+0.4", "note_range=-0.4")]
    common = {"weights": weights["measure_vae"], "output": tmp_path / "out"}
    written = [set(generate(MelodyOptions(**common, **call))) for call in calls]
    assert sum(map(len, written)) == len(set().union(*written)) == len(list((tmp_path / "out").glob("[!.]*")))


def test_measures_of_a_melody_follow_one_another(weights: dict[str, Path], tmp_path: Path) -> None:
    path = weights["measure_vae"]
    same = MelodyOptions(weights=path, count=1, measures=3, correlation=1.0, output=tmp_path, wav=True)
    midi, sound, _ = generate(same)
    notes = pretty_midi.PrettyMIDI(str(midi)).instruments[0].notes
    parts = [[(note.pitch, round(note.start % 2, 6)) for note in notes if note.start // 2 == k] for k in range(3)]
    assert parts[0] and parts[0] == parts[1] == parts[2], "the same z, the same measure"
    with wave.open(str(sound)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert file.getframerate() == 16_000 and len(samples) > 4 * 16_000 and samples.any()


def test_a_tune_is_changed(
    network: str, weights: dict[str, Path], tune: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ("note_density=+0.1",)
    options = MelodyOptions(weights=weights[network], source=tune, changes=changes, output=tmp_path / "out")
    original, changed, sheet = generate(options)
    begin, words = f"tunes_1_tiny_{network}_density+0.1", ("original.mid", "changed.mid", "sheet.png")
    assert [path.name for path in (original, changed, sheet)] == [f"{begin}_{word}" for word in words]
    output = capsys.readouterr().out
    assert "1 of 4 measures left out: without a note" in output and "1 of 4 measures left out: off the grid" in output
    assert "tunes/1: " in output and "of the tokens are reconstructed without a change" in output
    before, target, *_ = map(float, table(output)["note_density"][:2])
    assert (before, target) == pytest.approx((5 / 24, 5 / 24 + 0.1), abs=1e-4), "measures of six and of four notes"
    read = next(read_midi_melody(original))
    assert [note.pitch for note in read.notes] == [60, 62, 64, 67, 71, 72, 69, 69, 69, 69]
    assert [note.onset for note in read.notes][:4] == [0, 1, Fraction(3, 2), 2]


def test_a_file_of_the_user_is_not_replaced(weights: dict[str, Path], tmp_path: Path) -> None:
    own = tmp_path / "tiny_measure_vae_seed0_001.mid"
    own.write_bytes(b"mine")
    with pytest.raises(UserError, match="no program of ours wrote it"):
        generate(MelodyOptions(weights=weights["measure_vae"], count=2, output=tmp_path))
    assert list(tmp_path.iterdir()) == [own] and own.read_bytes() == b"mine"


def test_a_tune_below_the_range_keeps_its_octave(weights: dict[str, Path], tmp_path: Path) -> None:
    low = tmp_path / "low.abc"
    low.write_text("X:1\nT:Low\nM:4/4\nL:1/4\nK:C\nC,,D,,E,,F,,|]\n", encoding="utf-8")
    original, *_ = generate(MelodyOptions(weights=weights["measure_vae"], source=low, output=tmp_path / "out"))
    assert [note.pitch for note in next(read_midi_melody(original)).notes] == [36, 38, 40, 41]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--from TUNES --count 1", "--count is for new melodies; leave out it or --from"),
        ("--from TUNES --seed 3", "--seed is for new melodies"),
        ("--tune 2", "--tune needs --from"),
        ("--guess-melody", "--guess-melody needs --from"),
        ("--model measure_vae", "--weights and --model both name a model; leave one out"),
        ("--count 50001 --measures 2", "--count 50001 times --measures 2 must be at most 100000"),
        ("--set note_density=+1", "=+ and =- change an existing melody; name it with --from"),
        ("--from TUNES --tune 2", "tune 2 cannot be used: not in 4/4 (3/4); known are 4/4"),
        ("--from TUNES --tune 3", "holds 2 tunes; name another with --tune"),
        ("--from FOLDER", "a folder; name one file"),
        ("--from SILENT", "tune 1 cannot be used: no note"),
    ],
)
def test_refusals(
    arguments: str, message: str, weights: dict[str, Path], tune: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = tune.with_name("silent.abc")
    silent.write_text("X:1\nT:One\nM:4/4\nL:1/8\nK:C\nz8|z8|]\n", encoding="utf-8")
    names = {"TUNES": tune, "FOLDER": tune.parent, "SILENT": silent, "": ""}
    words = ["--weights", str(weights["measure_vae"]), *(str(names.get(word, word)) for word in arguments.split())]
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: generate(read_options(words)), CheckpointError)
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and message in line


def test_changes_are_separated_by_spaces_or_commas() -> None:
    for words in (["--set", "a=1", "b=2", "--seed", "3"], ["--seed", "3", "--set", "a=1,b=2"]):
        options = read_options(words)
        assert options.changes == ("a=1", "b=2") and options.seed == 3


@pytest.mark.parametrize("form", [MEASURE, PHRASE], ids=lambda form: form.name)
def test_notes_are_written_exactly(form: TokenForm, tmp_path: Path) -> None:
    times = [form.ticks[k % len(form.ticks)] + k // len(form.ticks) for k in range(16)]
    ends = [*times[1:], Fraction(4)]
    notes = [Note(time, 60 + k % 3, end) for k, (time, end) in enumerate(zip(times, ends, strict=True))]
    with (tmp_path / "notes.mid").open("wb") as file:
        melody_midi(notes).write(file)
    assert list(next(read_midi_melody(tmp_path / "notes.mid")).notes) == notes
    wide = replace(form, lowest=50, highest=90)
    tokens = encode(notes, wide, start=Fraction(0), end=Fraction(4))
    assert decode(tokens, wide) == notes and decode(tokens, wide, -2)[0].pitch == 58


def test_a_roll_separates_repeated_notes() -> None:
    roll = melody_roll([Note(Fraction(0), 60, Fraction(1)), Note(Fraction(1), 60, Fraction(13, 12))], 1)
    assert roll.shape == (128, MEASURE_FRAMES) == (128, 48)
    assert roll[60].nonzero()[0].tolist() == [*range(11), 12] and roll.sum() == 12


def test_weights_are_those_of_the_only_run_or_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_files, "RELEASED", tmp_path / "released")
    runs, shipped = tmp_path / "checkpoints", tmp_path / "released" / "explainable" / "adversarial_vae.pth"

    def chosen(**options: str) -> Path:
        return load_chosen(MelodyOptions(checkpoints=runs, **options)).path

    with pytest.raises(CheckpointError, match=r"attribute_vae.pth: no such checkpoint; train it"):
        chosen()
    save_adversarial_vae(shipped)
    assert chosen(model="adversarial_vae") == shipped
    own = save_measure_vae(runs / "explainable" / "set" / "measure_vae_z5" / "vae_best.pth")
    assert chosen() == chosen(model="measure_vae") == own
    assert chosen(model="adversarial_vae") == shipped, "the run is of another model"
    save_adversarial_vae(runs / "explainable" / "set" / "adversarial_vae_z5" / "vae_best.pth")
    with pytest.raises(CheckpointError, match=r"2 runs, .*; name one with --weights, or its model with --model"):
        chosen()
    save_measure_vae(runs / "explainable" / "other" / "measure_vae_z5" / "vae_best.pth")
    with pytest.raises(CheckpointError, match=r"2 runs, such as [^;]*; name one with --weights$"):
        chosen(model="measure_vae")
