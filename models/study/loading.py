"""Models of the study of measures for who has torch alone: new ones, and trained ones from their files.

`explainable.trained` is the same for who has the repository's packages.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ..checkpoint import read_checkpoint
from ..registry import NETWORKS, rebuild
from ..weight_files import RELEASED

_KIND, _FOLDER, _FILE = "explainable", "explainable", "vae_best.pth"
# Of new models of single measures; those that are trained have their own.
_FORM = {
    "name": "measure", "ticks": ["0", "1/4", "1/3", "1/2", "2/3", "3/4"], "lowest": 55, "highest": 84,
    "has_padding": True, "measures": 1,
}  # fmt: skip
HOLD = _FORM["highest"] - _FORM["lowest"] + 2  # after the pitches and the rest; padding is the last
# What a file may tell of how attributes are told to the model; of a new one, as they are.
_TOLD = ("attribute_mean", "attribute_deviation", "attribute_scores")


def new_measures(network: str, attributes: Sequence[str], **sizes: int) -> nn.Module:
    """A model of `network` with random weights, for single measures."""
    n = len(attributes)
    told = [0.0] * n, [1.0] * n, [{"values": [0.0, 1.0], "scores": [0.0, 1.0]}] * n
    facts = {"attributes": attributes, "form": _FORM, **dict(zip(_TOLD, told, strict=True))}
    return _with_facts(NETWORKS[_KIND, network](n_tokens=HOLD + 2, **sizes).eval(), facts)


def weights_of(network: str, folder: Path | None, repository: Path) -> Path:
    """The file in the folder of a run, else of one's only run below checkpoints/, else what comes with the repository.

    Raises `ValueError` where there are several runs.
    """
    if folder is not None:
        return folder / _FILE
    runs = repository / "checkpoints" / _FOLDER
    own = sorted(runs.glob(f"*/{network}_*/{_FILE}"))
    if len(own) > 1:
        raise ValueError(f"{runs}: {len(own)} runs of {network}; name the folder of one with checkpoint_dir")
    return own[0] if own else RELEASED / _FOLDER / f"{network}.pth"


def load_measures(path: Path, network: str) -> nn.Module:
    """The trained model in a file, in eval mode. Raises `ValueError` where it holds another, or is damaged."""
    content = read_checkpoint(path, "put the right file there")
    if content.get("network") != network:
        raise ValueError(f"{path}: holds {content.get('network', 'something else')}, not {network}; name another file")
    try:
        return _with_facts(rebuild(content), content["facts"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: damaged or of another version ({error}); put the right file there") from error


def _with_facts(model: nn.Module, facts: dict[str, Any]) -> nn.Module:
    """The model with what it controls, what its tokens mean, and how it is told attributes."""
    model.attributes, model.form = list(facts["attributes"]), dict(facts["form"])
    for name in _TOLD:
        if name in facts:
            setattr(model, name, facts[name])
    return model
