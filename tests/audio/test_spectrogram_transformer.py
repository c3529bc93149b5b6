"""The Audio Spectrogram Transformer as an embedder, with a tiny network and random weights."""

import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_embedders import save_tiny_ast
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import ASTFeatureExtractor, ASTModel

from audio.embedders.embedder import open_embedder
from audio.synthesis import SAMPLE_RATE
from common.errors import UserError


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_embedding_is_the_mean_over_all_tokens(tmp_path: Path) -> None:
    folder = save_tiny_ast(tmp_path)
    clips = list(0.1 * np.random.default_rng(0).standard_normal((3, 3 * SAMPLE_RATE), np.float32))
    embedder = open_embedder("ast", ast_dir=folder)
    embeddings = embedder.embed(clips)
    assert embeddings.shape == (3, embedder.dimension) == (3, 16) and embeddings.dtype == np.float32
    network = ASTModel.from_pretrained(folder).eval()
    features = ASTFeatureExtractor(max_length=128)(clips, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    with torch.inference_mode():
        hidden = network(features.input_values).last_hidden_state
    assert hidden.shape == (3, 2 + 12 * 12, 16)  # class and distillation token, patches of 16 x 16 every 10
    np.testing.assert_allclose(embeddings, hidden.mean(1), atol=1e-5)
    np.testing.assert_array_equal(embedder.embed(clips[1:2])[0], embeddings[1])
    assert embedder.embed([]).shape == (0, 16)


def test_weights_are_found_in_the_hugging_face_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"not in the Hugging Face cache; get them .* need no download"):
        open_embedder("ast")
    repository = tmp_path / "models--MIT--ast-finetuned-audioset-10-10-0.4593"
    save_tiny_ast(repository / "snapshots" / "0123")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    assert open_embedder("ast").dimension == 16


def test_identity_changes_with_weights_and_preprocessing(tmp_path: Path) -> None:
    folder = save_tiny_ast(tmp_path)
    first = open_embedder("ast", ast_dir=folder).identity
    assert open_embedder("ast", ast_dir=folder).identity == first
    ASTFeatureExtractor(max_length=128, mean=-4).save_pretrained(folder)
    second = open_embedder("ast", ast_dir=folder).identity
    weights = load_file(folder / "model.safetensors")
    weights["audio_spectrogram_transformer.layernorm.bias"] += 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert len({first, second, open_embedder("ast", ast_dir=folder).identity}) == 3


def test_missing_or_incomplete_weights_are_refused(tmp_path: Path) -> None:
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
