"""Data folders: what is written is complete, what is damaged is refused, what was interrupted is repaired."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from common.data_folder import DataFolder
from common.errors import UserError
from common.files import locked_folder

PLAIN = DataFolder("box", "make_box.py", 2, "box.json", ("x.npy", "y.npy", "list.csv", "log.csv"), "log.csv", ("name",))
SAMPLED = dataclasses.replace(PLAIN, sampled=True)
AGAIN = r"damaged \(.+\); make it again with make_box\.py"


def write_files(box: DataFolder, folder: Path, content: str = "old", log: str = "", name: str = "n") -> None:
    for file in box.files:
        (folder / file).write_text(log if file == box.log else f"{file} {content}")
    box.write_info(folder, {"name": name, "time": content})


def write_box(box: DataFolder, folder: Path, content: str = "old", **facts: str) -> dict:
    with box.locked(folder), box.being_written(folder) as unfinished:
        write_files(box, unfinished, content, **facts)
    return box.read_info(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("box", [PLAIN, SAMPLED], ids=["plain", "sampled"])
def test_equal_data_have_equal_hashes(box: DataFolder, tmp_path: Path) -> None:
    first = write_box(box, tmp_path / "a")
    box.verify(tmp_path / "a", first)
    assert write_box(box, tmp_path / "b", log="another")["content_hash"] == first["content_hash"]
    assert write_box(box, tmp_path / "b", "new")["content_hash"] != first["content_hash"]
    assert write_box(box, tmp_path / "b", name="m")["content_hash"] != first["content_hash"]
    assert sorted(contents(tmp_path / "b")) == sorted([*box.files, box.info_file])


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "garbage": lambda path: path.write_bytes(bytes(byte ^ 0x5A for byte in path.read_bytes())),
    "folder": make_a_folder,
}


@pytest.mark.parametrize("box", [PLAIN, SAMPLED], ids=["plain", "sampled"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_of_any_file_is_refused(box: DataFolder, damage, tmp_path: Path) -> None:
    for name in ("x.npy", "log.csv", "box.json"):
        folder = tmp_path / name
        info = write_box(box, folder, log="a line")
        damage(folder / name)
        with pytest.raises(UserError, match=rf"{name}: {AGAIN}"):
            box.read_info(folder) if box.sampled or name == "box.json" else box.verify(folder, info)


@pytest.mark.parametrize(
    "change",
    [
        lambda info: [info],
        lambda info: {**info, "files": {}},
        lambda info: {**info, "files": 3},
        lambda info: {**info, "files": {**info["files"], "../x": info["files"]["x.npy"]}},
        lambda info: {**info, "files": {**info["files"], "x.npy": []}},
        lambda info: {**info, "name": "m"},
        lambda info: {key: value for key, value in info.items() if key != "content_hash"},
        lambda info: {key: value for key, value in info.items() if key != "format_version"},
    ],
)
def test_a_changed_description_is_refused(change, tmp_path: Path) -> None:
    info = write_box(SAMPLED, tmp_path / "box")
    (tmp_path / "box/box.json").write_text(json.dumps(change(info)))
    with pytest.raises(UserError, match=AGAIN):
        SAMPLED.read_info(tmp_path / "box")


def test_no_data_and_another_format(tmp_path: Path) -> None:
    for folder in (tmp_path / "missing", tmp_path):
        with pytest.raises(UserError, match=r"no box there; make one with make_box\.py"):
            PLAIN.read_info(folder)
    write_box(dataclasses.replace(PLAIN, format_version=1), tmp_path)
    with pytest.raises(UserError, match="box of format 1, but this code reads format 2; make it again"):
        PLAIN.read_info(tmp_path)


def test_a_bit_that_no_sample_covers_is_found_by_reading_all(tmp_path: Path) -> None:
    info = write_box(SAMPLED, tmp_path / "box", "x" * 1_000_000)
    path = tmp_path / "box/x.npy"
    path.write_bytes(path.read_bytes()[:20_000] + b"y" + path.read_bytes()[20_001:])
    assert SAMPLED.read_info(tmp_path / "box") == info
    SAMPLED.verify(tmp_path / "box", info, ["y.npy"])
    with pytest.raises(UserError, match=r"damaged \(x\.npy has changed\)"):
        SAMPLED.verify(tmp_path / "box", info)


def test_a_place_of_something_else_is_refused(tmp_path: Path) -> None:
    PLAIN.require_place(tmp_path / "new/folder")
    PLAIN.require_place(tmp_path)
    for name, content in (("notes.txt", "mine"), ("list.csv", "mine"), ("box.json", "{}")):
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match="not empty and not a box; name another folder, or remove it"):
            PLAIN.require_place(tmp_path)
        (tmp_path / name).unlink()
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(UserError, match="a file is in the way; name another folder"):
            PLAIN.require_place(folder)
    write_box(PLAIN, tmp_path)
    PLAIN.require_place(tmp_path)  # a box beside another file
    write_box(PLAIN, tmp_path / "box")
    (tmp_path / "box/box.json").unlink()
    PLAIN.require_place(tmp_path / "box")  # a damaged box


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_earlier_data_and_nothing_else(error: type[BaseException], tmp_path: Path) -> None:
    write_box(PLAIN, tmp_path / "old")
    before = contents(tmp_path / "old")
    for folder in (tmp_path / "old", tmp_path / "new"):
        with pytest.raises(error), PLAIN.being_written(folder) as unfinished:
            write_files(PLAIN, unfinished, "new")
            raise error
    assert contents(tmp_path / "old") == before and not (tmp_path / "new").exists()


@pytest.mark.parametrize("moved", [None, 0, 1, 3, 4, 5])
@pytest.mark.parametrize("first", [True, False], ids=["new", "replaced"])
def test_a_killed_writer_is_cleaned_up_after(moved: int | None, first: bool, tmp_path: Path) -> None:
    """It dies before box.json is written (None), or when so many files are in place. Other files stay."""
    folder = tmp_path / "box"
    old = None if first else write_box(PLAIN, folder)
    folder.mkdir(exist_ok=True)
    (folder / "notes.txt").write_text("mine")
    child = os.fork()
    if not child:
        replace, targets = Path.replace, []

        def replace_or_die(path: Path, target: Path) -> Path:
            if Path(target).parent == folder:
                if len(targets) == moved:
                    os._exit(9)
                targets.append(target)
            result = replace(path, target)
            if len(targets) == moved == 5:
                os._exit(9)
            return result

        Path.replace = replace_or_die
        with PLAIN.being_written(folder) as unfinished:
            (unfinished / "x.npy").write_text("half")
            if moved is None:
                os._exit(9)
            write_files(PLAIN, unfinished, "new")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert PLAIN.has_unfinished(folder)
    with PLAIN.locked(folder):
        pass
    assert not PLAIN.has_unfinished(folder) and (folder / "notes.txt").read_text() == "mine"
    if moved is not None:
        info = PLAIN.read_info(folder)
        assert info["time"] == "new"
        PLAIN.verify(folder, info)
    elif old:
        assert PLAIN.read_info(folder) == old
    else:
        assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "box"
    with (
        locked_folder(folder, "busy"),
        pytest.raises(UserError, match="another process is making this box; wait until it has ended"),
        PLAIN.locked(folder),
    ):
        pytest.fail("locked twice")
