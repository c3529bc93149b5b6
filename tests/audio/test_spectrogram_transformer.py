"""The Audio Spectrogram Transformer with random weights, which only show that the plumbing holds; mel spectrograms."""

import importlib.util
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification, ASTModel

from audio.embedders.embedder import EMBEDDERS, open_embedder
from audio.embedders.mel import LogMel, mel_filters
from common.errors import UserError

SAMPLE_RATE = 16_000
CPU = torch.device("cpu")
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("musicnn") is None, reason="needs pip install --no-deps musicnn==0.1.0"
)


def noise(count: int, seconds: float = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(0.1 * rng.standard_normal((count, round(seconds * SAMPLE_RATE)), np.float32))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments, **named):
        raise AssertionError("opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


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


def save_tiny_ast(folder: Path) -> Path:
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    ASTForAudioClassification(ASTConfig(**size, max_length=128)).save_pretrained(folder)
    ASTFeatureExtractor(max_length=128).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny_ast(tmp_path_factory) -> Path:
    return save_tiny_ast(tmp_path_factory.mktemp("ast"))


def test_ast_is_the_mean_over_all_tokens(tiny_ast, no_network) -> None:
    clips = noise(3)
    embedder = open_embedder("ast", ast_dir=tiny_ast)
    embeddings = embedder.embed(clips)
    assert embeddings.shape == (3, embedder.dimension) == (3, 16)
    assert embeddings.dtype == np.float32
    network = ASTModel.from_pretrained(tiny_ast).eval()
    features = ASTFeatureExtractor(max_length=128)(clips, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    with torch.inference_mode():
        hidden = network(features.input_values).last_hidden_state
    assert hidden.shape == (3, 2 + 12 * 12, 16)  # class and distillation token, patches of 16 x 16 every 10
    np.testing.assert_allclose(embeddings, hidden.mean(1), atol=1e-5)
    np.testing.assert_array_equal(embedder.embed(clips[1:2])[0], embeddings[1])
    np.testing.assert_array_equal(open_embedder("ast", ast_dir=tiny_ast).embed(clips), embeddings)
    assert embedder.embed([]).shape == (0, 16)


def test_ast_is_found_in_the_hugging_face_cache(tmp_path, monkeypatch, no_network) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"not in the Hugging Face cache; get them .* need no download"):
        open_embedder("ast")
    repository = tmp_path / "models--MIT--ast-finetuned-audioset-10-10-0.4593"
    save_tiny_ast(repository / "snapshots" / "0123")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    assert open_embedder("ast").dimension == 16


def test_the_identity_of_ast_changes_with_weights_and_preparation(tmp_path) -> None:
    folder = save_tiny_ast(tmp_path)
    first = open_embedder("ast", ast_dir=folder).identity
    assert open_embedder("ast", ast_dir=folder).identity == first
    ASTFeatureExtractor(max_length=128, mean=-4).save_pretrained(folder)
    second = open_embedder("ast", ast_dir=folder).identity
    weights = load_file(folder / "model.safetensors")
    weights["audio_spectrogram_transformer.layernorm.bias"] += 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert len({first, second, open_embedder("ast", ast_dir=folder).identity}) == 3


def test_ast_without_all_its_weights_is_refused(tmp_path) -> None:
    remedy = "get them on a machine with a network by `hf download MIT/ast-finetuned"
    with pytest.raises(UserError, match=rf"has no weights of AST \(config\.json.* missing\); {remedy}"):
        open_embedder("ast", ast_dir=tmp_path / "nowhere")
    path = save_tiny_ast(tmp_path) / "model.safetensors"
    intact = path.read_bytes()
    path.write_bytes(intact[:-50])
    with pytest.raises(UserError, match="not usable weights of AST"):
        open_embedder("ast", ast_dir=tmp_path)
    path.write_bytes(intact)
    weights = load_file(path)
    del weights["audio_spectrogram_transformer.layernorm.weight"]
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(UserError, match=r"no values for layernorm\.weight"):
        open_embedder("ast", ast_dir=tmp_path)


def test_unknown_embedders_are_refused() -> None:
    with pytest.raises(ValueError, match=f"no embedder vgg; there are {', '.join(EMBEDDERS)}"):
        open_embedder("vgg")
