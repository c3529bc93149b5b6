"""Files named by paths of the labels."""

import os
import unicodedata
from pathlib import Path

import pytest
from midi_files import write

from data.midi_files import find_files


def found(paths: list[str], midi_dir: Path, **options) -> list[Path | str]:
    """For each path its file, or why there is none."""
    result = find_files(paths, midi_dir, **options)
    return [file or problem for file, problem in zip(result.files, result.problems, strict=True)]


@pytest.fixture
def midi_dir(tmp_path: Path) -> Path:
    """A folder with two files of one name below it, and a file beside it."""
    write(tmp_path / "outside.mid", b"")
    for genre in ("jazz", "rock"):
        write(tmp_path / "corpus" / genre / "a.mid", b"")
    return tmp_path / "corpus"


def test_paths_are_below_the_folder(midi_dir: Path) -> None:
    assert found(["jazz/a.mid", "rock/a.mid"], midi_dir) == [midi_dir / "jazz/a.mid", midi_dir / "rock/a.mid"]
    paths = ["jazz/b.mid", "jazz", "a.mid", "jazz/a.mid/x", "no/a.mid", "a\0b.mid"]
    paths += ["a" * 300 + ".mid", "b" * 300 + "/x", "a/" * 3000 + "a.mid"]
    assert found(["rock/a.mid", *paths], midi_dir)[1:] == ["no such file"] * len(paths)


def test_a_pipe_is_no_file(midi_dir: Path) -> None:
    os.mkfifo(midi_dir / "pipe.mid")
    os.mkfifo(midi_dir.parent / "pipe.mid")
    (midi_dir / "link.mid").symlink_to("nowhere")
    paths = ["jazz/a.mid", "pipe.mid", "../pipe.mid", "link.mid"]
    reasons = ["not a regular file", "not a regular file", "no such file"]
    assert found(paths, midi_dir, allow_outside=True) == [midi_dir / "jazz/a.mid", *reasons]


def test_a_first_folder_is_left_out_for_all_paths_or_for_none(midi_dir: Path) -> None:
    jazz = midi_dir / "jazz"
    assert found(["jazz/a.mid", "jazz/b.mid"], jazz) == [jazz / "a.mid", "no such file"]
    assert found(["jazz/a.mid", "rock/a.mid"], jazz) == ["no such file"] * 2, "or rock would get jazz's file"
    assert found(["x/jazz/a.mid", "x/rock/a.mid"], midi_dir) == [jazz / "a.mid", midi_dir / "rock/a.mid"]
    assert found(["x/jazz/a.mid", "rock/a.mid"], midi_dir) == ["no such file", midi_dir / "rock/a.mid"]
    write(midi_dir / "x/jazz/a.mid", b"")
    assert found(["x/jazz/a.mid", "x/rock/a.mid"], midi_dir) == [midi_dir / "x/jazz/a.mid", "no such file"]


def test_a_first_folder_of_another_name_gives_a_warning(midi_dir: Path) -> None:
    assert find_files(["jazz/a.mid"], midi_dir / "jazz").warnings == []
    (warning,) = find_files(["rock/a.mid"], midi_dir / "jazz").warnings
    assert warning.startswith("all paths begin with rock/, which is not in ")


def test_paths_that_lead_out_are_refused_unless_allowed(midi_dir: Path) -> None:
    outside = midi_dir.parent / "outside.mid"
    paths = ["../outside.mid", str(outside), "jazz/../../outside.mid", "/no/file.mid", "C:/a.mid", "jazz/a.mid"]
    assert found(paths, midi_dir) == [*["leads out of the MIDI folder"] * 5, midi_dir / "jazz/a.mid"]
    files = found(paths, midi_dir, allow_outside=True)
    assert files[0] == midi_dir / "../outside.mid"
    assert files[1:4] == ["the same file as ../outside.mid", "the same file as ../outside.mid", "no such file"]
    assert files[5] == midi_dir / "jazz/a.mid"


def test_links_that_lead_out_are_refused_unless_allowed(midi_dir: Path) -> None:
    (midi_dir / "link.mid").symlink_to("../outside.mid")
    (midi_dir / "folder").symlink_to("..")
    (midi_dir / "broken.mid").symlink_to("nowhere")
    (midi_dir / "loop").symlink_to("loop")
    paths = ["link.mid", "folder/outside.mid", "broken.mid", "loop/a.mid", "jazz/a.mid"]
    out = "a link that leads out of the MIDI folder"
    assert found(paths, midi_dir) == [out, out, "no such file", "no such file", midi_dir / "jazz/a.mid"]
    allowed = found(paths, midi_dir, allow_outside=True)
    assert allowed[:2] == [midi_dir / "link.mid", "the same file as link.mid"]


def test_two_paths_never_get_one_file(midi_dir: Path) -> None:
    (midi_dir / "jazz/b.mid").symlink_to("a.mid")
    (midi_dir / "blues").symlink_to("jazz")
    assert found(["jazz/a.mid", "jazz/b.mid", "blues/a.mid", "rock/a.mid"], midi_dir) == [
        midi_dir / "jazz/a.mid",
        *["the same file as jazz/a.mid"] * 2,
        midi_dir / "rock/a.mid",
    ]
    assert found(["blues/a.mid", "jazz/a.mid"], midi_dir) == [midi_dir / "blues/a.mid", "the same file as blues/a.mid"]


@pytest.mark.parametrize(("on_disk", "in_csv"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC"), ("NFD", "NFD")])
def test_a_name_is_found_in_either_unicode_form(tmp_path: Path, on_disk: str, in_csv: str) -> None:
    name = "Sigur Rós/Ágætis byrjun.mid"
    file = write(tmp_path / unicodedata.normalize(on_disk, name), b"")
    for path in (name, f"clean_midi/{name}"):
        (place,) = found([unicodedata.normalize(in_csv, path)], tmp_path)
        assert isinstance(place, Path) and place.samefile(file)


def test_a_file_of_the_very_name_wins_over_its_other_form(tmp_path: Path) -> None:
    forms = [unicodedata.normalize(form, "é.mid") for form in ("NFC", "NFD")]
    files = [write(tmp_path / form, form.encode()) for form in forms]
    assert found(forms, tmp_path) == files


def test_missing_files_cost_no_system_call_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "jazz/a.mid", b"")
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or scandir(folder))
    monkeypatch.setattr(Path, "is_file", lambda _: pytest.fail("a system call for a file"))
    paths = ["jazz/a.mid", *(f"jazz/{number}.mid" for number in range(1000)), *(f"no/{k}/a.mid" for k in range(1000))]
    result = find_files(paths, tmp_path)
    monkeypatch.undo()
    assert sum(file is not None for file in result.files) == 1
    assert len(listed) == 2
