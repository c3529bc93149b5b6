"""app.py in a browser, on random weights and the study's shipped ones: controls, uploads, two users, other hosts."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest
from midi_files import example_song, write
from weights import save_rolls

import app
from common.errors import UserError
from common.options import parse_options
from generate import generate
from generation.options import Options as MusicOptions
from models import LARGE
from models.errors import CheckpointError
from models.weight_files import hybrid_file
from playground.options import Options
from playground.studio import Studio
from programs import study_generate
from score import Options as ScoreOptions
from score import score

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

expect = pytest.importorskip("playwright.sync_api", reason="pip install -r requirements-dev.txt").expect
PATIENCE = 50_000  # ms, on a busy machine
expect.set_options(timeout=PATIENCE)
pytest.importorskip("gradio", reason="pip install -r requirements-app.txt")
ROOT = Path(app.__file__).parent
FILE = hybrid_file("cvae", 128)
TABS = {
    "Generate": "Generate",
    "From a file": "Make music",
    "Score": "Score",
    "Sliders": None,
}  # with their start buttons
MUSIC_IS_NEW = """([results, before]) => {
    const links = [...results.querySelectorAll("a[download]")].map(a => a.href);
    return ["mid", "wav", "png"].every(kind => links.some(a => a.endsWith(kind) && !before.includes(a)));
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights in `large`, and songs of 12 and 70 s."""
    folder = tmp_path_factory.mktemp("app")
    save_rolls(folder / "large", LARGE, seq_lens=(128,))
    write(folder / "song.mid", example_song(0, 0, 12))
    write(folder / "long.mid", example_song(1, 0, 70))
    return folder


@pytest.fixture(scope="module")
def url(folder: Path, browser: "Browser") -> Iterator[str]:
    """The page's address. At the end the server is stopped, and must leave no file."""
    with socket.socket() as free:
        free.bind((app.HOST, 0))
        port = free.getsockname()[1]
    (folder / "temporary").mkdir()
    command = [sys.executable, ROOT / "app.py", "--port", str(port), "--checkpoints", "large", "--minutes", "1"]
    server = subprocess.Popen(
        [*command, "--synth", "tinysoundfont"], cwd=folder, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": str(folder / "temporary"), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    line = server.stdout.readline()
    assert line.startswith(f"http://127.0.0.1:{port} ")
    yield line.split()[0]
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) == 128 + signal.SIGTERM
    assert not list((folder / "temporary").iterdir())


class Result(NamedTuple):
    """The command that the page shows, MIDI files, and the sound of the last."""

    command: str
    midi: list[bytes]
    sound: bytes


@dataclass
class User:
    """A browser window of one user, the addresses that it asked for, and the errors that it logged."""

    page: "Page"
    asked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    may_log_errors: bool = False
    panel: "Locator | None" = None

    def open(self, tab: str) -> "User":
        self.page.get_by_role("tab", name=tab).click()
        self.panel, self.button = self.page.locator("[role=tabpanel]:visible"), TABS[tab]
        return self

    def upload(self, path: Path) -> None:
        chosen, clear = self.panel.locator("input[type=file]"), self.panel.get_by_label("Clear")
        chosen.or_(clear).first.wait_for(state="attached")  # a tab that opens for the first time has neither at once
        if not chosen.count():
            clear.click()
        chosen.set_input_files(path)

    def choose(self, value: str) -> None:
        self.panel.get_by_label(value, exact=True).check()

    def choose_genre(self, value: str) -> None:
        self.panel.get_by_label("Genre").click()
        self.page.get_by_role("option", name=value).click()

    def set(self, label: str, value: float) -> None:
        number = self.panel.get_by_label(f"number input for {label}").or_(self.panel.get_by_label(label, exact=True))
        number.fill(f"{value:g}")
        number.press("Tab")

    def start(self) -> None:
        self.panel.get_by_role("button", name=self.button, exact=True).click()

    def links(self) -> list[str]:
        return [link.get_attribute("href") for link in self.panel.locator(".results a[download]").all()]

    def result(self, *changes: Callable[[], object]) -> Result:
        """Make changes and, if there is a start button, press it; return the result, whose files must be new."""
        before = self.links()
        for change in changes:
            change()
        if self.button:
            self.start()
        return self.new_result(before)

    def new_result(self, before: list[str]) -> Result:
        """Wait for files other than `before`."""
        self.page.wait_for_function(MUSIC_IS_NEW, arg=[self.panel.locator(".results").element_handle(), before])
        files = {link: self.page.request.get(link).body() for link in self.links() if link.endswith(("mid", "wav"))}
        midi, (sound,) = ([files[link] for link in files if link.endswith(kind)] for kind in ("mid", "wav"))
        return Result(self.panel.locator(".cm-content").inner_text(), midi, sound)

    def expect_error(self, message: str) -> None:
        self.start()
        expect(self.panel.locator(".error").last).to_have_text(message)


@pytest.fixture
def users(browser: "Browser", url: str) -> Iterator[Callable[[], User]]:
    """Opens windows. At the end none may have asked another host, or logged an error."""
    opened = []

    def open_window() -> User:
        page = browser.new_context().new_page()
        page.set_default_timeout(PATIENCE)
        user = User(page)
        page.on("request", lambda request: user.asked.append(request.url))
        page.on("console", lambda message: user.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: user.errors.append(str(error)))
        page.goto(url)
        opened.append(user)
        return user

    yield open_window
    for user in opened:
        user.page.context.close()
        hosts = {urlsplit(address).netloc for address in user.asked if not address.startswith(("blob:", "data:"))}
        assert hosts == {urlsplit(url).netloc} and (user.may_log_errors or not user.errors)


@pytest.fixture
def user(users: Callable[[], User]) -> User:
    return users()


def made_by(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, output: Path) -> Result:
    """The files of the command, run beside the songs and weights."""
    monkeypatch.chdir(folder)
    for place in ("generation.files", "explainable.melody_generation"):
        monkeypatch.setattr(f"{place}.save_roll_sheet", lambda *args, **options: None)
    program, *words = shlex.split(command)[1:]
    words = [*words, "--output", str(output)]
    if program == "-m":
        files = study_generate.generate(study_generate.read_options(words[1:]))
    else:
        assert program == "generate.py"
        files = generate(parse_options(MusicOptions, "", words))
    midi, sounds = ([path.read_bytes() for path in files if path.suffix == kind] for kind in (".mid", ".wav"))
    return Result(command, midi, sounds[-1])


def check(results: list[Result], folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All results differ, have the files of their commands, and can be heard."""
    assert len({result.midi[-1] for result in results}) == len({result.command for result in results}) == len(results)
    for number, result in enumerate(results):
        assert result == made_by(result.command, folder, monkeypatch, tmp_path / str(number))
        assert np.frombuffer(result.sound[44:], "<i2").any()


def test_music_of_a_genre(user: User, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    user.open("Generate")
    new_seed = user.panel.get_by_role("button", name="New seed")
    results = [
        user.result(), user.result(lambda: user.choose_genre("bass")),
        user.result(lambda: user.set("Temperature", 1.5)), user.result(lambda: user.set("Windows of 8 seconds", 2)),
        user.result(lambda: user.set("Seed", 5)), user.result(new_seed.click),
        user.result(lambda: user.choose("Generator")),
    ]  # fmt: skip
    assert user.panel.get_by_label("number input for Temperature").is_disabled()
    user.panel.get_by_label("Pause").wait_for()  # it sounds without another click
    assert user.panel.locator("img").evaluate("image => image.naturalWidth") > 500
    check(results, folder, monkeypatch, tmp_path)


def test_music_from_a_file(user: User, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    user.open("From a file").upload(folder / "song.mid")
    user.panel.get_by_text("seconds of music").wait_for()
    results = [
        user.result(), user.result(lambda: user.set("Windows of 8 seconds", 2)),
        user.result(lambda: user.choose("Infill")), user.result(lambda: user.set("From second", 1)),
        user.result(lambda: user.set("To second", 7)),
        user.result(lambda: user.choose("Vary")), user.result(lambda: user.set("Amount", 0.9)),
        user.result(lambda: user.choose("Restyle")), user.result(lambda: user.choose_genre("melody")),
        user.result(lambda: user.set("Temperature", 0.4)), user.result(lambda: user.set("Seed", 3)),
    ]  # fmt: skip
    check(results, folder, monkeypatch, tmp_path)
    user.choose("Infill")
    user.set("From second", 9)
    user.expect_error("the last second must come after the first")


def test_scores(user: User, folder: Path, tmp_path: Path) -> None:
    user.open("Score").upload(folder / "song.mid")
    shown = []
    for seed in (0, 4):
        user.set("Seed", seed)
        user.start()
        command = f"python score.py {f'--seed {seed} ' if seed else ''}--checkpoints large song.mid"
        expect(user.panel.locator(".cm-content")).to_have_text(command)
        genres, notes = (table.locator("tbody tr").all() for table in user.panel.locator(".results table").all())
        shown.append([row.locator("td").all_inner_texts() for row in genres])
        assert len(notes) == 10
        options = ScoreOptions(files=(folder / "song.mid",), checkpoints=folder / "large", seed=seed, output=tmp_path)
        found = score(options).genres
        for column, name in ((1, "probability"), (2, "bits_per_second"), (3, "bits_per_note")):
            values = [float(row[column].replace("\N{EN DASH}", "nan")) for row in shown[-1]]
            assert values == pytest.approx(found[name].tolist(), rel=0.01, abs=0.001, nan_ok=True)
    assert shown[0] != shown[1]
    assert user.panel.locator("img").evaluate("image => image.naturalWidth") > 500


def test_sliders_sound_while_they_move(
    user: User, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    user.open("Sliders")
    sliders = user.panel.locator("input[type=range]").all()
    assert len(sliders) == 5  # four attributes, and the number of measures
    new_seed = user.panel.get_by_role("button", name="New seed")
    results = [user.result(lambda slider=slider: slider.press("PageUp")) for slider in sliders]
    results += [user.result(lambda: user.set("Seed", 2)), user.result(new_seed.click)]
    user.panel.get_by_label("Pause").wait_for()
    user.panel.get_by_text("share within").wait_for()
    assert len({result.midi[0] for result in results}) == len(results)
    check(results[-1:], folder, monkeypatch, tmp_path)


@pytest.mark.parametrize("tab", ["From a file", "Score"])
def test_bad_files_get_one_line(tab: str, user: User, folder: Path, tmp_path: Path) -> None:
    user.may_log_errors = True  # when the server refuses the large file
    user.open(tab)
    user.expect_error("choose a MIDI file first")
    song = (folder / "song.mid").read_bytes()
    for name, content, message in (
        ("text.mid", b"hello", "text.mid: not a MIDI file (no MThd header)"),
        ("empty.mid", b"", "empty.mid: not a MIDI file (no MThd header)"),
        ("half <b>.mid", song[: len(song) // 2], "half b.mid: truncated: a track is longer than the file"),
        ("long.mid", (folder / "long.mid").read_bytes(), "long.mid: lasts 1.2 minutes, more than the 1 of --minutes"),
    ):  # fmt: skip
        user.upload(write(tmp_path / name, content))
        user.panel.get_by_text(name[:4]).first.wait_for()
        user.expect_error(message)
    for name, content, message in (
        ("notes.txt", song, "Invalid file type: notes.txt"), ("big.mid", bytes(8_000_001), "exceed the maximum"),
    ):  # fmt: skip
        user.upload(write(tmp_path / name, content))
        user.page.get_by_text(message).wait_for()
    user.upload(folder / "song.mid")
    user.set("Seed", 1)
    user.start()
    user.panel.locator("img").wait_for()


def test_two_users_get_their_own_music(
    users: Callable[[], User], folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    both = [users().open("Generate") for _ in range(2)]
    for number, user in enumerate(both):
        user.set("Seed", 10 + number)
        user.set("Windows of 8 seconds", 4)
    for user in both:
        user.start()
    results = [user.new_result([]) for user in both]
    assert ["--seed 10" in results[0].command, "--seed 11" in results[1].command] == [True, True]
    check(results, folder, monkeypatch, tmp_path)


def test_weights_that_change_meanwhile_change_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a training of preset large does, which writes to the folder that is the default."""
    monkeypatch.chdir(tmp_path)
    own = shutil.copytree(folder / "large", tmp_path / "checkpoints" / "large")
    studio = Studio(Options(synth="tinysoundfont"))
    shutil.rmtree(own)
    for number, more in enumerate(({}, {"continue_file": folder / "song.mid"})):
        made, _ = studio.music(tmp_path / str(number), genre="bass", **more)
        options = MusicOptions(genre="bass", count=1, checkpoints=folder / "large", output=tmp_path / "same", **more)
        assert made.midi[0].read_bytes() == generate(options)[0].read_bytes()
    assert studio.score(tmp_path, folder / "song.mid").genre.startswith(("chords", "melody", "bass"))


def test_a_folder_without_a_generator_plays_by_the_decoder(folder: Path, tmp_path: Path) -> None:
    """As programs.train_prior writes it."""
    write(tmp_path / FILE, (folder / "large" / FILE).read_bytes())
    studio = Studio(Options(checkpoints=tmp_path, synth="tinysoundfont"))
    from playground.page import build_page  # imports Gradio

    (played_by,) = (each for each in build_page(studio).blocks.values() if getattr(each, "label", "") == "Played by")
    assert played_by.choices == [("CVAE decoder", "cvae")]
    studio.warm()


def test_errors_name_the_options_of_the_page(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"no such checkpoint; name a folder of weights .* with --checkpoints"):
        Studio(Options(checkpoints=tmp_path))
    for run in ("a", "b"):
        write(tmp_path / f"checkpoints/explainable/tunes/{run}/vae_best.pth", b"")
    with pytest.raises(CheckpointError, match=r"2 runs, .* name one with --study-weights"):
        Studio(Options(checkpoints=folder / "large", synth="tinysoundfont"))


def test_what_is_missing_is_said_in_one_line(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    port = urlsplit(url).port
    with pytest.raises(UserError, match=f"127.0.0.1:{port} is in use; name another --port"):
        app.serve(Options(port=port, checkpoints=Path("large"), synth="tinysoundfont"))
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -r requirements-app.txt"):
        app.serve(Options())
