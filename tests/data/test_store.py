"""Opening a store: what it is, what it holds, and whether it is whole."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from corpus import ARRAYS, ROWS, change_a_file, content_of, make_store, rewrite_store, write_labels
from midi_files import write

from common.errors import UserError
from data.store import STORE, RollStore, SongRow


@pytest.fixture
def folder(tiny_store: Path, tmp_path: Path) -> Path:
    """A copy of a store that a test may damage."""
    return shutil.copytree(tiny_store, tmp_path / "copy")


def test_the_store_can_be_opened_again(corpus: Path) -> None:
    made, _ = make_store(corpus)
    opened = RollStore.open(str(corpus / "store"))
    assert opened.songs == made.songs
    assert opened.info == made.info
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(opened, name), getattr(made, name))


def test_there_is_no_store(tmp_path: Path) -> None:
    for folder in (tmp_path / "missing", tmp_path, write(tmp_path / "file", b"")):
        with pytest.raises(UserError, match=r"no roll store there; make one with prepare_data\.py"):
            RollStore.open(folder)


def test_the_same_data_elsewhere_and_later_is_the_same(corpus: Path, tmp_path: Path) -> None:
    """Machine, place and times of change are no part of what a store is; nor are the labels that come with it."""
    first, _ = make_store(corpus)
    shuffled = first.with_shuffled_labels()
    other = shutil.copytree(corpus, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    for path in other.rglob("*.mid"):
        path.touch()
    write_labels(other / "labels.csv", [*ROWS, ("missing.mid", 0, "slow", "")])
    second, made = make_store(other)
    assert made and second.info["inputs_hash"] != first.info["inputs_hash"]
    assert second.content_hash == first.content_hash
    again = second.with_shuffled_labels()
    assert again.songs == shuffled.songs
    assert again.content_hash == shuffled.content_hash != first.content_hash


@pytest.mark.parametrize("what", ["music", "split", "name", "names"])
def test_other_data_is_another(corpus: Path, what: str) -> None:
    first, _ = make_store(corpus)
    if what == "music":
        change_a_file(corpus)
    elif what == "split":
        write_labels(corpus / "labels.csv", [*ROWS[:5], (*ROWS[5][:3], "val")])
    elif what == "name":
        (corpus / "midi" / ROWS[5][0]).rename(corpus / "midi/fast/renamed.mid")
        write_labels(corpus / "labels.csv", [*ROWS[:5], ("fast/renamed.mid", *ROWS[5][1:])])
    second, made = make_store(corpus, genres=["a", "b"] if what == "names" else None)
    assert made and second.content_hash != first.content_hash


def test_song_ids_are_those_of_the_music(corpus: Path, tmp_path: Path) -> None:
    first, _ = make_store(corpus)
    ids = first.song_ids("train")
    assert ids.dtype == np.int64 and len(ids) == 2 and (np.diff(ids) > 0).all()
    expected = sorted(np.array([int(row.content_hash, 16) for row in first.songs if row.split == "train"], np.uint64)
                      .view(np.int64).tolist())  # fmt: skip
    assert ids.tolist() == expected
    every = np.concatenate([first.song_ids(split) for split in ("train", "val", "test")])
    assert len(set(every.tolist())) == len(ROWS)
    write_labels(corpus / "labels.csv", [(path, 1 - genre, "", split) for path, genre, _, split in ROWS[::-1]])
    second, _ = make_store(corpus)
    assert second.content_hash != first.content_hash
    assert second.song_ids("train").tolist() == ids.tolist()
    assert first.song_ids("none").shape == (0,)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def fill_with_garbage(path: Path) -> None:
    path.write_bytes(bytes(byte ^ 0x5A for byte in path.read_bytes()))


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def reshape(path: Path) -> None:
    """As many bytes, of another type or shape."""
    content = path.read_bytes()
    other = content.replace(b"|u1", b"|i1", 1).replace(b"<f8", b"<i8", 1).replace(b"0", b"1", 1)
    assert other != content
    path.write_bytes(other)


DAMAGES = (Path.unlink, cut, lengthen, empty, fill_with_garbage, make_a_folder, reshape)


@pytest.mark.parametrize("name", [*STORE.files, STORE.info_file])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_store_is_refused_in_one_line(folder: Path, name: str, damage) -> None:
    if name == "rejected.csv" and damage is reshape:
        write(folder / name, b"path,reasons")  # it has no number to change
    else:
        damage(folder / name)
    with pytest.raises(UserError, match=r"copy: (damaged \(.+\); |roll store of format .*)make it again"):
        RollStore.open(folder)


BAD_INFO = {
    "list": lambda info: [info],
    "no hashes": lambda info: {key: value for key, value in info.items() if key != "files"},
    "no genres": lambda info: {**info, "genres": None},
    "another genre": lambda info: {**info, "genres": ["x", *info["genres"][1:]]},
    "files of no kind": lambda info: {**info, "files": 3},
    "a file of no kind": lambda info: {**info, "files": {**info["files"], "songs.csv": []}},
    "a file too few": lambda info: {**info, "files": {}},
    "a file elsewhere": lambda info: {**info, "files": {**info["files"], "../x": info["files"]["songs.csv"]}},
    "no content hash": lambda info: {key: value for key, value in info.items() if key != "content_hash"},
}


@pytest.mark.parametrize("change", BAD_INFO.values(), ids=BAD_INFO)
def test_a_changed_store_json_is_refused_in_one_line(folder: Path, change) -> None:
    info = json.loads((folder / "store.json").read_text(encoding="utf-8"))
    (folder / "store.json").write_text(json.dumps(change(info)), encoding="utf-8")
    with pytest.raises(UserError, match=r"damaged \(.+\); make it again with prepare_data\.py"):
        RollStore.open(folder)


def test_rows_that_do_not_fit_the_arrays_are_damage(folder: Path) -> None:
    text = (folder / "songs.csv").read_text(encoding="utf-8")
    (folder / "songs.csv").write_text(text.replace(",train,", ",test,,", 1)[: len(text)], encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        RollStore.open(folder)


def test_a_store_of_another_format_is_refused(folder: Path) -> None:
    info = json.loads((folder / "store.json").read_text(encoding="utf-8"))
    (folder / "store.json").write_text(json.dumps({**info, "format_version": 1}), encoding="utf-8")
    message = rf"roll store of format 1, but this code reads format {STORE.format_version}; make it again"
    with pytest.raises(UserError, match=message):
        RollStore.open(folder)


def test_a_bit_that_no_cheap_check_sees_is_found_when_all_is_read(tmp_path: Path, tiny_store: Path) -> None:
    row = SongRow("a", 0, "train", "", "", "0", 0, 40_000, 0, 0)
    song = RollStore.open(tiny_store)
    large = np.random.default_rng(0).integers(0, 256, (40_000, 16), np.uint8)
    none = {name: getattr(song, name)[:0] for name in ("onset_seconds", "pitch", "velocity")}
    store = rewrite_store(RollStore(tmp_path, song.info, [row], large, **none), tmp_path / "large")
    store.verify()
    path = store.folder / "frames.npy"
    content = bytearray(path.read_bytes())
    content[20_000] ^= 1
    path.write_bytes(content)
    opened = RollStore.open(store.folder)
    with pytest.raises(UserError, match=r"damaged \(frames.npy has changed\); make it again"):
        opened.verify()


def test_verifying_changes_nothing(folder: Path) -> None:
    before = content_of(folder)
    RollStore.open(folder).verify()
    assert content_of(folder) == before
