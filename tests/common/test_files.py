"""Atomic writes, hashes of files, and locks of folders."""

import errno
import hashlib
from pathlib import Path

import pytest

from common.errors import UserError
from common.files import errors_naming, hash_of_file, locked_folder, write_bytes, write_text, written_atomically


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/table.csv"
    write_text(path, "old")
    with written_atomically(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(type(error)) as caught, written_atomically(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    if isinstance(error, OSError):
        assert caught.value.filename == str(path) and caught.value.errno == errno.ENOSPC


def test_an_error_that_names_another_file_keeps_its_name(tmp_path: Path) -> None:
    other = FileNotFoundError(errno.ENOENT, "No such file", "other")
    with pytest.raises(FileNotFoundError) as caught, errors_naming(tmp_path):
        raise other
    assert caught.value is other


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    for name in ("a" * 251 + ".csv", "é" * 120 + ".csv"):
        write_text(tmp_path / name, "text")
        assert (tmp_path / name).read_text() == "text"


def test_the_place_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        write_bytes(tmp_path, b"")
    assert caught.value.filename == str(tmp_path)


def test_the_hash_of_a_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    write_bytes(tmp_path / "file", content)
    assert hash_of_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()[:12]


def test_a_folder_is_locked_for_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    with locked_folder(folder, "is in use"):
        with pytest.raises(UserError, match="run: is in use"), locked_folder(folder, "is in use"):
            pytest.fail("locked twice")
        with locked_folder(tmp_path / "other", "is in use"):
            pass
        folder.mkdir()
        monkeypatch.chdir(folder)
        with pytest.raises(UserError, match="is in use"), locked_folder(Path(), "is in use"):
            pytest.fail("locked twice, by another name")
    with locked_folder(folder, "is in use"):
        pass
