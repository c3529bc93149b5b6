"""musicnn: its checkpoint without TensorFlow, its sound, its embeddings, and refusals."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import torch
import torch.nn.functional as F

from audio.embedders import musicnn_weights
from audio.embedders.embedder import open_embedder
from audio.embedders.mel import LogMel
from audio.embedders.musicnn import (
    CLIP_RMS,
    FrontEndConv,
    Musicnn,
    MusicnnEmbedder,
    cut_patches,
    level,
    patch_count,
)
from audio.embedders.musicnn_weights import read_weights
from audio.embedders.tensorflow_checkpoint import DamagedCheckpoint, masked_crc32c, read_variables
from audio.synthesis import open_renderer
from common.errors import UserError

SAMPLE_RATE = 16_000
CPU = torch.device("cpu")
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("musicnn") is None, reason="needs pip install --no-deps musicnn==0.1.0"
)


def noise(count: int, seconds: float = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(0.1 * rng.standard_normal((count, round(seconds * SAMPLE_RATE)), np.float32))


def varint(value: int) -> bytes:
    return bytes([value & 0x7F | 0x80]) + varint(value >> 7) if value > 0x7F else bytes([value])


def checksum(content: bytes) -> bytes:
    return masked_crc32c(content).to_bytes(4, "little")


def table_block(entries: dict[bytes, bytes]) -> bytes:
    """A LevelDB block whose keys share what they can with the key before; one restart point."""
    block, before = b"", b""
    for key, value in entries.items():
        shared = next((i for i, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), 0)
        block += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    block += bytes(4) + (1).to_bytes(4, "little")
    return block + b"\0" + checksum(block + b"\0")


def write_checkpoint(folder: Path, variables: dict[str, np.ndarray]) -> tuple[Path, Path]:
    data, entries = b"", {b"": b"\x08\x01"}
    for name, value in sorted(variables.items()):
        content = value.tobytes()
        dimensions = b"".join(b"\x12" + varint(2) + b"\x08" + varint(size) for size in value.shape)
        shape = b"\x12" + varint(len(dimensions)) + dimensions
        place = b"\x20" + varint(len(data)) + b"\x28" + varint(len(content)) + b"\x35" + checksum(content)
        entries[name.encode()] = b"\x08\x01" + shape + place
        data += content
    block = table_block(entries)
    handle = varint(0) + varint(len(block) - 5)
    index_block = table_block({b"\xff": handle})
    handles = varint(0) + varint(0) + varint(len(block)) + varint(len(index_block) - 5)
    footer = handles.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")
    paths = folder / "model.index", folder / "model.data-00000-of-00001"
    paths[0].write_bytes(block + index_block + footer)
    paths[1].write_bytes(data)
    return paths


VARIABLES = {
    "dense/bias": np.array([1.5, -2], np.float32),
    "dense/kernel": np.arange(100, dtype=np.float32).reshape(4, 25),
    "dense_1/kernel": np.ones((2, 1, 3), np.float32),
}


def test_crc32c_of_a_known_text() -> None:
    crc = 0xE3069283  # of "123456789", the check value of CRC-32C
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def test_reads_the_variables_of_a_checkpoint(tmp_path) -> None:
    read = read_variables(*write_checkpoint(tmp_path, VARIABLES), list(VARIABLES))
    assert read.keys() == VARIABLES.keys()
    for name, value in VARIABLES.items():
        np.testing.assert_array_equal(read[name], value)


def test_refuses_a_damaged_checkpoint(tmp_path) -> None:
    index, data = write_checkpoint(tmp_path, VARIABLES)
    with pytest.raises(DamagedCheckpoint, match="has no variable dense_2/bias"):
        read_variables(index, data, ["dense_2/bias"])
    intact = data.read_bytes()
    data.write_bytes(intact[:20] + b"?" + intact[21:])
    with pytest.raises(DamagedCheckpoint, match="dense/kernel does not match its checksum"):
        read_variables(index, data, ["dense/kernel"])
    data.write_bytes(intact[:-1])
    with pytest.raises(DamagedCheckpoint, match="dense_1/kernel does not match"):
        read_variables(index, data, ["dense_1/kernel"])
    content = index.read_bytes()
    index.write_bytes(content[:10] + b"?" + content[11:])
    with pytest.raises(DamagedCheckpoint, match="a block does not match"):
        read_variables(index, data, ["dense/bias"])
    index.write_bytes(content[:-1])
    with pytest.raises(DamagedCheckpoint, match=r"model\.index: not the index"):
        read_variables(index, data, ["dense/bias"])


def test_level_sets_the_loudness_and_leaves_silence() -> None:
    tone = torch.sin(440 * torch.arange(SAMPLE_RATE) / SAMPLE_RATE)
    clips = torch.stack([0.8 * tone, 0.01 * tone, 1e-5 * tone, torch.zeros_like(tone)])
    levelled = level(clips)
    assert levelled[:2].square().mean(1).sqrt().tolist() == pytest.approx([CLIP_RMS, CLIP_RMS])
    torch.testing.assert_close(levelled[0], levelled[1])
    assert torch.equal(levelled[2:], clips[2:])


@pytest.mark.parametrize(("seconds", "starts"), [(3, [0]), (4, [0, 64]), (5, [0, 126]), (9, [0, 188, 376])])
def test_patches_cover_a_clip(seconds, starts) -> None:
    frames = 1 + seconds * SAMPLE_RATE // 256
    log_mel = torch.arange(frames, dtype=torch.float32)[None, :, None].expand(2, frames, 96)
    patches = cut_patches(log_mel, patch_count(seconds * SAMPLE_RATE))
    assert patches.shape == (2, len(starts), 187, 96)
    assert patches[1, :, 0, 5].tolist() == starts
    missed = np.setdiff1d(np.arange(frames), patches[0, ..., 0].int().numpy())
    assert (np.diff(missed) > 1).all()  # never two frames in a row


def test_front_end_takes_the_maximum_after_relu_and_batch_norm() -> None:
    torch.manual_seed(0)
    block = FrontEndConv(6, 8, 20).eval()
    with torch.no_grad():
        for value in (block.norm.weight, block.norm.bias, block.norm.running_mean):
            value.copy_(torch.randn(6))
    block.norm.weight.data[:2] = torch.tensor([-0.7, 0.0])
    x = torch.randn(2, 30, 96)
    with torch.inference_mode():
        convolved = F.relu(block.conv(F.pad(x, (0, 0, 3, 4))[:, None]))  # TensorFlow's "same": the odd frame after
        normed = F.batch_norm(
            convolved, block.norm.running_mean, block.norm.running_var, block.norm.weight, block.norm.bias, eps=1e-3
        )
        torch.testing.assert_close(block(x), normed.amax(3))


@pytest.fixture(scope="module")
def musicnn(tmp_path_factory) -> MusicnnEmbedder:
    return open_embedder("MTT_musicnn", cache_dir=tmp_path_factory.mktemp("cache"))


# Every 25th hidden unit and every 10th tag for the patch below, from the package's own graph in TensorFlow 2.21.
TENSORFLOW = {
    "MTT_musicnn": (
        [1.72344, -0.40885, -0.47368, 2.35766, -0.12162, 0.08466, 0.72007, 2.38032],
        [0.25138, 0.00024, 0.0737, 0.00437, 0.0],
    ),
    "MSD_musicnn": (
        [-0.17718, -0.78253, 2.32258, 2.23197, -0.35264, -0.82931, -0.28052, -0.92249],
        [0.00099, 0.00052, 0.00093, 0.14771, 0.00002],
    ),
}


@needs_weights
@pytest.mark.parametrize("name", TENSORFLOW)
def test_musicnn_computes_what_tensorflow_does(name, tmp_path) -> None:
    embedder = open_embedder(name, cache_dir=tmp_path)
    weights, digest = read_weights(name, tmp_path)
    assert f"{name} {digest}" in embedder.identity
    network = Musicnn().eval()
    network.load_state_dict(weights)
    assert "musicnn" not in sys.modules
    time, band = np.arange(187)[:, None], np.arange(96)
    patch = np.maximum(0, 2 + np.sin(time / 7 + band / 5) + np.cos(time * band / 300))
    with torch.inference_mode():
        hidden, tags = network(torch.tensor(patch, dtype=torch.float32)[None])
    expected_hidden, expected_tags = TENSORFLOW[name]
    np.testing.assert_allclose(hidden[0, ::25], expected_hidden, atol=3e-5)
    np.testing.assert_allclose(tags[0, ::10], expected_tags, atol=1e-5)


@needs_weights
def test_musicnn_embeds_each_clip_for_itself(musicnn) -> None:
    clips = [*noise(2, seconds=5), np.zeros(5 * SAMPLE_RATE, np.float32)]
    embeddings = musicnn.embed(clips)
    assert embeddings.shape == (3, musicnn.dimension) == (3, 200)
    assert embeddings.dtype == np.float32
    assert np.isfinite(embeddings).all()
    for clip, embedding in zip(clips, embeddings, strict=True):
        np.testing.assert_array_equal(musicnn.embed([clip])[0], embedding)
    np.testing.assert_allclose(musicnn.embed([clips[0] / 7])[0], embeddings[0], atol=1e-3)  # as loud as the others
    assert np.abs(embeddings[0] - embeddings[2]).max() > 0.1
    assert musicnn.embed([]).shape == (0, 200)


@needs_weights
def test_musicnn_averages_over_patches(musicnn, tmp_path) -> None:
    (clip,) = noise(1, seconds=9)
    clip *= np.linspace(0, 1, len(clip), dtype=np.float32)
    network = Musicnn().eval()
    network.load_state_dict(read_weights("MTT_musicnn", tmp_path)[0])
    with torch.inference_mode():
        log_mel = LogMel(SAMPLE_RATE, 512, 256, 96)(level(torch.from_numpy(clip)[None]))
        results = [network(log_mel[:, start : start + 187]) for start in (0, 188, 376)]
    for result, of_patches in zip((musicnn.embed, musicnn.tag_probabilities), zip(*results, strict=True), strict=True):
        np.testing.assert_allclose(result([clip])[0], torch.cat(of_patches).mean(0), atol=1e-5)
    assert (results[0][0] - results[2][0]).abs().max() > 0.1


@needs_weights
def test_musicnn_refuses_clips_below_three_seconds(musicnn) -> None:
    with pytest.raises(ValueError, match=r"3 s at a time, but a clip has 2\.00 s"):
        musicnn.embed(noise(1, seconds=2))


@needs_weights
def test_a_damaged_cache_of_musicnn_is_made_again(tmp_path) -> None:
    weights, digest = read_weights("MTT_musicnn", tmp_path)
    (cached,) = tmp_path.iterdir()
    whole = cached.read_bytes()
    cached.write_bytes(whole[:1000])
    again, same = read_weights("MTT_musicnn", tmp_path)
    assert same == digest and again.keys() == weights.keys() and cached.read_bytes() == whole
    assert all(torch.equal(again[name], weights[name]) for name in weights)


@needs_weights
def test_musicnn_does_without_a_cache_that_cannot_be_written(tmp_path) -> None:
    (tmp_path / "file").touch()
    assert open_embedder("MTT_musicnn", cache_dir=tmp_path / "file").dimension == 200


def test_without_the_package_the_command_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install --no-deps musicnn==0\.1\.0$"):
        open_embedder("MSD_musicnn", cache_dir=tmp_path)


def test_a_damaged_package_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(musicnn_weights, "_package", lambda: tmp_path)
    with pytest.raises(UserError, match="MTT_musicnn: has no checkpoint; install it again with pip install --no-deps"):
        open_embedder("MTT_musicnn", cache_dir=tmp_path)
    (tmp_path / "MTT_musicnn").mkdir()
    for name in (".index", ".data-00000-of-00001"):
        (tmp_path / "MTT_musicnn" / name).write_bytes(b"something else")
    with pytest.raises(UserError, match="not the index of a TensorFlow checkpoint; install it again with pip install"):
        open_embedder("MTT_musicnn", cache_dir=tmp_path)


C, A_MINOR, G, E = (48, 52, 55, 60, 64), (45, 52, 57, 60, 64), (43, 47, 50, 55, 59, 67), (40, 47, 52, 56, 59, 64)
TRIADS = [(60, 64, 67, 72), (57, 60, 64, 69), (53, 57, 60, 65), (55, 59, 62, 67)] * 2
# General MIDI program, chords of half a second.
SOLOS = {
    "piano": (0, TRIADS),
    "choir": (52, TRIADS),
    "guitar": (25, [A_MINOR, A_MINOR, G, G, C, C, E, E]),
    "flute": (73, [(pitch,) for pitch in (72, 74, 76, 79, 77, 76, 74, 72)]),
}


@needs_weights
@pytest.mark.parametrize("instrument", SOLOS)
def test_musicnn_hears_which_instrument_plays(musicnn, instrument) -> None:
    program, chords = SOLOS[instrument]
    solo = pretty_midi.Instrument(program)
    for number, chord in enumerate(chords):
        solo.notes += [pretty_midi.Note(80, pitch, number / 2, number / 2 + 0.5) for pitch in chord]
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(solo)
    try:
        audio = open_renderer().render_midi(midi)
    except UserError as error:
        pytest.skip(str(error))
    (tags,) = musicnn.tag_probabilities([audio])
    assert musicnn.tag_names[tags.argmax()] == instrument
    assert tags.max() > 0.6
