"""Models for hubconf.py: new ones, or trained ones with the facts that their use needs as attributes."""

import os
from collections.abc import Sequence
from inspect import signature
from pathlib import Path

from .base import Model, StudyVAE
from .building import build
from .exported import CONFIG, WEIGHTS, read_exported
from .likelihoods import Tempering
from .names import DIVISOR, FOLDERS, GROWTH, LARGE
from .networks import NETWORKS, NoteCVAE
from .scoring import RollEmbedder, RollScorer
from .trained import load
from .weight_files import PROGRAMS, STUDY_FILE, find_study_weights, folder_of, hybrid_path, pretrained_file

_REPOSITORY = Path(__file__).resolve().parents[1]
_REMEDY = "put the right file there"
# Tokens of new models of the study: single measures of 4/4.
_FORM = {
    "name": "measure", "ticks": ["0", "1/4", "1/3", "1/2", "2/3", "3/4"], "lowest": 55, "highest": 84,
    "has_padding": True, "measures": 1,
}  # fmt: skip
_HOLD = _FORM["highest"] - _FORM["lowest"] + 2  # follows the pitches and the rest; padding is the last token


def roll_model(
    kind: str, pretrained: bool, checkpoint_dir: str | os.PathLike[str] | None, n_genres: int, preset: str,
    seq_len: int | None = None,
) -> Model:  # fmt: skip
    """A model with `genres` and `condition`, of stage 3 for windows of `seq_len` frames, or of stage 1 or 2 if None.

    Raises FileNotFoundError for missing weights, ValueError for an unknown preset or weights that do not fit.
    """
    if preset not in FOLDERS and not (pretrained and checkpoint_dir):
        raise ValueError(f"preset must be one of {', '.join(FOLDERS)}, but is {preset!r}")
    if not pretrained:
        _require_sizes(n_genres=n_genres)
        sizes = {} if kind == "cvae" else {"seq_len": seq_len or 32}
        model = build(kind, preset, n_genres=n_genres, **sizes).eval()
        model.genres, model.condition = [f"genre {genre}" for genre in range(n_genres)], "genre"
        return model
    folder = Path(checkpoint_dir or folder_of(preset, _REPOSITORY))
    path = hybrid_path(folder, kind, seq_len) if seq_len else folder / pretrained_file(kind)
    _require(path, f"{'train_hybrid.py' if seq_len else PROGRAMS[kind]} --preset {preset}")
    trained = load(path, kind, _REMEDY, seq_len=seq_len)
    trained.model.genres, trained.model.condition = trained.genres, trained.condition
    return trained.model


def roll_scorer(
    pretrained: bool, checkpoint_dir: str | os.PathLike[str] | None, n_genres: int, samples: int
) -> RollScorer:
    """A scorer with the hybrid CVAE of preset large. Raises as `roll_model` does."""
    _require_sizes(samples=samples)
    return RollScorer(_note_cvae(pretrained, checkpoint_dir, n_genres), Tempering(DIVISOR, GROWTH), samples).eval()


def roll_embedder(pretrained: bool, checkpoint_dir: str | os.PathLike[str] | None, n_genres: int) -> RollEmbedder:
    """An embedder with the hybrid CVAE of preset large. Raises as `roll_model` does."""
    return RollEmbedder(_note_cvae(pretrained, checkpoint_dir, n_genres)).eval()


def exported_model(folder: str | os.PathLike[str]) -> Model:
    """The model of a folder by export.py. Raises FileNotFoundError without one, ValueError for a damaged one."""
    for file in (CONFIG, WEIGHTS):
        if not (path := Path(folder) / file).is_file():
            raise FileNotFoundError(f"{path}: no such file; name a folder that export.py wrote, or a copy of one")
    return read_exported(Path(folder))


def _note_cvae(pretrained: bool, checkpoint_dir: str | os.PathLike[str] | None, n_genres: int) -> NoteCVAE:
    """The hybrid CVAE of preset large; `checkpoint_dir` may also be a folder by export.py."""
    if pretrained and checkpoint_dir and (Path(checkpoint_dir) / CONFIG).is_file():
        model = exported_model(checkpoint_dir)
    else:
        model = roll_model(NoteCVAE.kind, pretrained, checkpoint_dir, n_genres, LARGE, seq_len=128)
    if not isinstance(model, NoteCVAE):
        found = f"a {model.kind} of network {model.network}"
        raise ValueError(f"{checkpoint_dir}: {found}, but a CVAE of preset large is needed; {_REMEDY}")
    return model


def study_model(
    network: str, pretrained: bool, checkpoint_dir: str | os.PathLike[str] | None, attributes: Sequence[str],
    **sizes: int,
) -> Model:  # fmt: skip
    """A model with `attributes`, `form` and, where it has some, the statistics that its attributes are scaled by.

    Raises FileNotFoundError for missing weights, ValueError for several runs or weights that do not fit.
    """
    n = len(attributes)
    facts = {
        "attributes": attributes, "form": _FORM, "attribute_mean": [0.0] * n, "attribute_deviation": [1.0] * n,
        "attribute_scores": [{"values": [0.0, 1.0], "scores": [0.0, 1.0]}] * n,
    }  # fmt: skip
    if pretrained:
        if checkpoint_dir:
            path = Path(checkpoint_dir) / STUDY_FILE
        else:
            several = "name the folder of one with checkpoint_dir"
            path = find_study_weights(_REPOSITORY / "checkpoints", network, several)
        _require(path, f"python -m programs.study_train {network}")
        trained = load(path, StudyVAE.kind, _REMEDY, network=network)
        model, facts = trained.model, {name: trained.facts[name] for name in facts if name in trained.facts}
    else:
        _require_sizes(**sizes)
        known = {"n_tokens": _HOLD + 2, "n_attributes": n, "start": _HOLD}
        build_new = NETWORKS[StudyVAE.kind, network]
        arguments = {name: size for name, size in known.items() if name in signature(build_new).parameters}
        model = build_new(**arguments, **sizes).eval()
    for name, fact in facts.items():
        setattr(model, name, list(fact) if name == "attributes" else fact)
    return model


def _require_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} must be a whole number above 0, but is {size!r}")


def _require(path: Path, command: str) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such weights; {command} trains them. Put the file there, name its folder with "
            "checkpoint_dir, or take an untrained model with pretrained=False"
        )
