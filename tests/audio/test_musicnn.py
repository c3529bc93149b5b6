"""musicnn: weights, preprocessing, embeddings compared with TensorFlow's, and errors."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from audio.embedders import musicnn
from audio.embedders.embedder import open_embedder
from audio.embedders.mel import LogMel, mel_filters
from audio.embedders.musicnn import CLIP_RMS, FrontEndConv, Musicnn, cut_patches, normalize_loudness, patch_count
from audio.synthesis import SAMPLE_RATE
from common.errors import UserError


def noise(count: int, seconds: float = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(0.1 * rng.standard_normal((count, round(seconds * SAMPLE_RATE)), np.float32))


def network_of(name: str) -> Musicnn:
    network = Musicnn().eval()
    network.load_state_dict(musicnn.read_weights(name)[0])
    return network


def test_mel_filters_are_those_of_librosa() -> None:
    filters = mel_filters(SAMPLE_RATE, 512, 96)
    assert filters.shape == (96, 257)
    assert filters.argmax(1)[::19].tolist() == [1, 20, 40, 73, 135, 248]
    peaks = [0.031999, 0.028986, 0.022172, 0.011883, 0.007064, 0.003985]
    np.testing.assert_allclose(filters.amax(1)[::19], peaks, atol=1e-6)


def test_log_mel_of_a_chirp_is_that_of_librosa() -> None:
    t = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    chirp = 0.3 * np.sin(2 * np.pi * (200 * t + 600 * t * t)) + 0.1 * np.sin(2 * np.pi * 440 * t)
    log_mel = LogMel(SAMPLE_RATE, 512, 256, 96)(torch.tensor(chirp, dtype=torch.float32)[None])[0]
    assert log_mel.shape == (188, 96)
    start = [4.4275, 4.0437, 2.5879, 1.7667, 1.1267, 0.5662, 0.2275, 0.0888]
    np.testing.assert_allclose(log_mel[0, ::12], start, atol=1e-4)
    np.testing.assert_allclose(log_mel[60, ::12], [0.0, 3.9809, 0.0004, 0.3055, 0.0052, 0.0, 0.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(log_mel[120, ::12], [0.0001, 3.9809, 0.0001, 0.0, 0.0, 5.2923, 0, 0], atol=1e-4)


def test_loudness_is_normalized_except_for_silence() -> None:
    tone = torch.sin(440 * torch.arange(SAMPLE_RATE) / SAMPLE_RATE)
    clips = torch.stack([0.8 * tone, 0.01 * tone, 1e-5 * tone, torch.zeros_like(tone)])
    normalized = normalize_loudness(clips)
    assert normalized[:2].square().mean(1).sqrt().tolist() == pytest.approx([CLIP_RMS, CLIP_RMS])
    torch.testing.assert_close(normalized[0], normalized[1])
    assert torch.equal(normalized[2:], clips[2:])


@pytest.mark.parametrize(("seconds", "starts"), [(3, [0]), (4, [0, 64]), (5, [0, 126]), (9, [0, 188, 376])])
def test_patches_cover_a_clip(seconds: int, starts: list[int]) -> None:
    frames = 1 + seconds * SAMPLE_RATE // 256
    log_mel = torch.arange(frames, dtype=torch.float32)[None, :, None].expand(2, frames, 96)
    patches = cut_patches(log_mel, patch_count(seconds * SAMPLE_RATE))
    assert patches.shape == (2, len(starts), 187, 96)
    assert patches[1, :, 0, 5].tolist() == starts
    missed = np.setdiff1d(np.arange(frames), patches[0, ..., 0].int().numpy())
    assert (np.diff(missed) > 1).all(), "never two frames in a row"


@pytest.mark.parametrize("height", (1, 20, 95))
def test_front_end_equals_its_definition(height: int) -> None:
    """The network takes the maximum first, and convolves over the bands by DFT; the definition does neither."""
    torch.manual_seed(0)
    block = FrontEndConv(6, 8, height).double().eval()
    with torch.no_grad():
        for value in (block.norm.weight, block.norm.bias, block.norm.running_mean):
            value.copy_(torch.randn(6))
    block.norm.weight.data[:2] = torch.tensor([-0.7, 0.0])
    x = torch.randn(2, 30, 96, dtype=torch.float64)
    with torch.inference_mode():
        convolved = F.relu(block.conv(F.pad(x, (0, 0, 3, 4))[:, None]))  # TensorFlow's "same": the odd frame after
        normed = F.batch_norm(
            convolved, block.norm.running_mean, block.norm.running_var, block.norm.weight, block.norm.bias, eps=1e-3
        )
        torch.testing.assert_close(block(x), normed.amax(3), rtol=1e-12, atol=1e-12)


# Every 25th hidden unit for the patch below, from the original graph in TensorFlow 2.21.
TENSORFLOW = {
    "MTT_musicnn": [1.72344, -0.40885, -0.47368, 2.35766, -0.12162, 0.08466, 0.72007, 2.38032],
    "MSD_musicnn": [-0.17718, -0.78253, 2.32258, 2.23197, -0.35264, -0.82931, -0.28052, -0.92249],
}


@pytest.mark.parametrize("name", TENSORFLOW)
def test_hidden_layer_equals_tensorflow(name: str) -> None:
    time, band = np.arange(187)[:, None], np.arange(96)
    patch = np.maximum(0, 2 + np.sin(time / 7 + band / 5) + np.cos(time * band / 300))
    with torch.inference_mode():
        hidden = network_of(name)(torch.tensor(patch, dtype=torch.float32)[None])
    np.testing.assert_allclose(hidden[0, ::25], TENSORFLOW[name], atol=3e-5)


def test_embedding_is_the_mean_over_patches() -> None:
    (clip,) = noise(1, seconds=9)
    clip *= np.linspace(0, 1, len(clip), dtype=np.float32)
    network = network_of("MTT_musicnn")
    with torch.inference_mode():
        log_mel = LogMel(SAMPLE_RATE, 512, 256, 96)(normalize_loudness(torch.from_numpy(clip)[None]))
        hidden = [network(log_mel[:, start : start + 187]) for start in (0, 188, 376)]
    np.testing.assert_allclose(open_embedder("MTT_musicnn").embed([clip])[0], torch.cat(hidden).mean(0), atol=1e-5)
    assert (hidden[0] - hidden[2]).abs().max() > 0.1


def test_each_clip_is_embedded_for_itself() -> None:
    embedder = open_embedder("MTT_musicnn")
    clips = [*noise(2, seconds=5), np.zeros(5 * SAMPLE_RATE, np.float32)]
    embeddings = embedder.embed(clips)
    assert embeddings.shape == (3, 200) and embeddings.dtype == np.float32 and np.isfinite(embeddings).all()
    for clip, embedding in zip(clips, embeddings, strict=True):
        np.testing.assert_array_equal(embedder.embed([clip])[0], embedding)
    np.testing.assert_allclose(embedder.embed([clips[0] / 7])[0], embeddings[0], atol=1e-3)  # loudness has no effect
    assert np.abs(embeddings[0] - embeddings[2]).max() > 0.1
    assert embedder.embed([]).shape == (0, 200)
    with pytest.raises(ValueError, match=r"clips of 3 s or more, but got 2\.00 s"):
        embedder.embed(noise(1, seconds=2))


@pytest.mark.parametrize("content", [b"damaged", None])
def test_damaged_or_missing_weights_are_refused(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "musicnn/MTT_musicnn.safetensors"
    path.parent.mkdir()
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(b'whole').hexdigest()}  musicnn/MTT_musicnn.safetensors\n")
    if content:
        path.write_bytes(content)
    monkeypatch.setattr(musicnn, "RELEASED", tmp_path)
    with pytest.raises(UserError, match=r"MTT_musicnn.safetensors: missing or damaged; restore it with git checkout"):
        open_embedder("MTT_musicnn")


def test_identity_names_the_weights() -> None:
    digest = hashlib.sha256((musicnn.RELEASED / "musicnn/MSD_musicnn.safetensors").read_bytes()).hexdigest()[:12]
    assert open_embedder("MSD_musicnn").identity == f"MSD_musicnn {digest}, rms 0.1, mean of 3 s patches, v1"
