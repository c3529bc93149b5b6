"""export.py: folders that are read back without this code's weights files."""

import contextlib
import json
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from fake_hub import fake_hub
from huggingface_hub import HfApi, ModelCard, snapshot_download
from safetensors.torch import load_file
from weights import save_weights

import hubconf
from common.errors import UserError
from common.files import RECORD
from export import Options, export
from models import LARGE, PAPER, build, rebuild
from models.checkpoint import CheckpointError
from models.trained import load
from models.weight_files import hybrid_file, pretrained_file

REPOSITORY = Path(hubconf.__file__).parent


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CVAE of preset large and a generator of preset paper."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    facts = {"epoch": 3, "chosen_by": "negative_elbo", "metrics": {"negative_elbo": 12.5}, "options": {"seed": 0}}
    cvae = build("cvae", LARGE, n_genres=3, hidden=16, depth=1)
    save_weights(cvae, folder / pretrained_file("cvae"), **facts)
    save_weights(build("generator", PAPER, n_genres=3, seq_len=32), folder / pretrained_file("generator"), **facts)
    return folder


@pytest.mark.parametrize("half", [False, True])
def test_what_is_exported_is_the_model(half: bool, checkpoints: Path, tmp_path: Path) -> None:
    folders = export(Options(checkpoints=checkpoints, output=tmp_path, half=half))
    names = [Path(pretrained_file(name)).stem for name in ("cvae", "generator")]
    assert [folder.name for folder in folders] == names
    folder = tmp_path / Path(pretrained_file("generator")).stem
    trained = load(checkpoints / pretrained_file("generator"), "generator", "")
    config, weights = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")
    assert all(tensor.dtype == (torch.float16 if half else torch.float32) for tensor in weights.values())
    model = rebuild({**config["model"], "weights": weights})
    for name, tensor in trained.model.state_dict().items():
        expected = tensor.half().float() if half else tensor
        assert torch.equal(model.state_dict()[name], expected), name
    assert config["genres"] == trained.genres and config["training"]["epoch"] == 3
    card = (folder / "README.md").read_text()
    assert f"# {folder.name}" in card and ", ".join(trained.genres) in card and "{" not in card.split("```")[0]
    loaded = torch.hub.load(str(REPOSITORY), "exported", source="local", folder=folder)
    assert loaded.state_dict().keys() == model.state_dict().keys() and not loaded.training
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert loaded.genres == trained.genres and loaded.condition == "genre"


def test_a_folder_goes_to_the_hub_and_back(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By huggingface_hub and a server of this machine; the code of the card loads the copy."""
    options = Options(checkpoint=checkpoints / pretrained_file("cvae"), output=tmp_path, license="cc-by-nc-4.0")
    (folder,) = export(options)
    data = ModelCard.load(folder / "README.md").data
    tags = ["music", "symbolic-music", "piano-roll", "cvae"]
    assert data.to_dict() == {"license": "cc-by-nc-4.0", "library_name": "pytorch", "tags": tags}
    with fake_hub() as (url, published):
        api = HfApi(endpoint=url, token="hf_none")
        api.create_repo("me/model")
        api.upload_folder(repo_id="me/model", folder_path=folder, ignore_patterns=RECORD)
        copy = Path(snapshot_download("me/model", endpoint=url, cache_dir=tmp_path / "cache", token=False))
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != RECORD}
    assert published == files and {path.name: path.read_bytes() for path in copy.iterdir()} == files
    monkeypatch.chdir(copy)
    names: dict[str, object] = {}
    code = (copy / "README.md").read_text().split("```python\n")[1].split("```")[0]
    exec(code.replace("path/to/this/repository", str(REPOSITORY)), names)
    assert names["model"].kind == "cvae"


def test_folders_that_are_no_model(checkpoints: Path, tmp_path: Path) -> None:
    (folder,) = export(Options(checkpoint=checkpoints / pretrained_file("cvae"), output=tmp_path))
    content = (folder / "model.safetensors").read_bytes()
    for damaged in (content[:-1], b"", content.replace(b"F32", b"F64", 1)):
        (folder / "model.safetensors").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"cvae_pretrained_best: damaged .*; export it again"):
            torch.hub.load(str(REPOSITORY), "exported", source="local", folder=str(folder))
    (folder / "model.safetensors").write_bytes(content)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"genres": ["jazz"]}))
    with pytest.raises(ValueError, match=r"cvae_pretrained_best: damaged .*1 names of 3 genres.*; export it again"):
        torch.hub.load(str(REPOSITORY), "exported", source="local", folder=folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config.json: no such file; name a folder that export.py wrote"):
        torch.hub.load(str(REPOSITORY), "exported", source="local", folder=folder)


@pytest.mark.parametrize(("preset", "sizes"), [(PAPER, {}), (LARGE, {"hidden": 16, "latent": 2, "outline": 0})])
def test_a_generator_in_another_runtime(preset: str, sizes: dict[str, int], tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build("generator", preset, n_genres=3, seq_len=32, **sizes).eval()
    facts = {"epoch": 3, "chosen_by": "roll_distance", "metrics": {}, "options": {"seed": 3, "store": "/home/me/store"}}
    (folder,) = export(Options(checkpoint=save_weights(model, tmp_path / "G.pth", **facts), output=tmp_path))
    published = json.loads((folder / "config.json").read_text())["training"]["options"]
    assert published == {"seed": 3}, "no folder of this machine"
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    z, genre = torch.randn(5, model.noise_size(32)), torch.tensor([0, 1, 2, 1, 0])
    inputs, card = {"z": z, "genre": genre}, (folder / "README.md").read_text()
    assert f"z float32 (batch, {model.noise_size(32)})" in card and "{" not in card.split("```")[0]
    if preset == LARGE:
        inputs["uniform"] = torch.rand(5, 32, 4)
        assert "uniform float32 (batch, 32, 4)" in card and "uniform is random" in card
    (found,) = session.run(["probabilities"], {name: each.numpy() for name, each in inputs.items()})
    with torch.no_grad():
        np.testing.assert_allclose(found, model(**inputs).numpy(), rtol=0, atol=1e-6)


def test_a_generator_with_an_outline_has_no_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build("generator", LARGE, n_genres=3, seq_len=32, hidden=16, latent=2, outline=16)
    path = save_weights(model, tmp_path / "G.pth", epoch=3, chosen_by="roll_distance", metrics={})
    (folder,) = export(Options(checkpoint=path, output=tmp_path))
    assert f"{folder}: without model.onnx, because an outline is drawn frame by frame" in capsys.readouterr().out
    assert (folder / "model.safetensors").exists() and not (folder / "model.onnx").exists()
    assert "model.onnx" not in (folder / "README.md").read_text()


def test_a_folder_is_replaced_whole_and_only_if_it_is_ours(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(checkpoint=checkpoints / pretrained_file("cvae"), output=tmp_path)
    (folder,) = export(options)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("export.CARD", "another")
    monkeypatch.setattr("json.dumps", lambda *_, **__: pytest.fail("the run ends here"))
    with pytest.raises(pytest.fail.Exception):
        export(options)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    monkeypatch.undo()
    export(options)
    (folder / "README.md").write_text("my own words")
    with pytest.raises(UserError, match=r"README.md: was changed since it was written"):
        export(options)
    (folder / "README.md").unlink()
    (folder / "notes.txt").write_text("my own file")
    with pytest.raises(UserError, match=r"notes.txt: exists, and no program of ours wrote it"):
        export(options)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name], "no private folder stays"


def test_a_signal_stops_the_exporter(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: (signal.raise_signal(signal.SIGINT), pytest.fail("on")))
    with pytest.raises(KeyboardInterrupt):
        export(Options(checkpoint=checkpoints / pretrained_file("generator"), output=tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_signal_is_answered_although_the_exporter_swallows_errors(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swallowing(*_: object, **__: object) -> SimpleNamespace:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return SimpleNamespace(save=lambda file: None)

    monkeypatch.setattr(torch.onnx, "export", swallowing)
    with pytest.raises(KeyboardInterrupt):
        export(Options(checkpoint=checkpoints / pretrained_file("generator"), output=tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_signal_leaves_a_whole_folder(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(checkpoint=checkpoints / pretrained_file("cvae"), output=tmp_path)
    (folder,) = export(options)
    names = {path.name for path in folder.iterdir()}

    def rename(path: Path, target: Path) -> Path:
        moved = original(path, target)
        if path == folder:
            signal.raise_signal(signal.SIGINT)
        return moved

    original = Path.rename
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        export(options)
    assert {path.name for path in folder.iterdir()} == names and list(tmp_path.iterdir()) == [folder]


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no weights there; train some"):
        export(Options(checkpoints=tmp_path))
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        export(Options(checkpoint=tmp_path / hybrid_file("G", 32)))
