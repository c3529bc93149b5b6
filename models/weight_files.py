"""Names and places of weights files. Training writes them; evaluation, generation and torch.hub read them."""

from pathlib import Path

from .base import RollCritic, RollGenerator
from .checkpoint import read_checkpoint
from .errors import CheckpointError
from .names import ATTRIBUTE_VAE, FOLDERS
from .networks import NETWORKS

BEST, LAST = "best", "last"
PROGRAMS = {"cvae": "train_cvae.py", "generator": "train_cgan.py", "critic": "train_cgan.py"}  # of stages 1 and 2
RELEASED = Path(__file__).resolve().parents[1] / "released"  # the weights that come with the repository
STUDY, STUDY_FILE = "explainable", f"vae_{BEST}.pth"  # checkpoints/explainable/DATA/RUN/vae_best.pth
_LETTERS = {RollGenerator.kind: "G", RollCritic.kind: "D"}  # names of models in stage 3


def folder_of(preset: str, root: Path = Path()) -> Path:
    """The folder of a preset's weights: below `root` if training has written some there, else in the repository."""
    own = root / FOLDERS[preset]
    return own if any(own.glob("*.pth")) else RELEASED / preset


def pretrained_file(kind: str, which: str = BEST) -> str:
    """Weights of stages 1 and 2; `kind` is "cvae", "generator" or "critic"."""
    return f"{kind}_pretrained_{which}.pth"


def hybrid_file(model: str, seq_len: int | str, which: str = BEST) -> str:
    """Weights of stage 3 at one T, or "*" as a pattern; `model` is a kind, or "G" or "D"."""
    model = _LETTERS.get(model, model)
    return f"hybrid_{model}_best_T{seq_len}.pth" if which == BEST else f"hybrid_{model}_T{seq_len}_last.pth"


def hybrid_path(folder: Path, model: str, seq_len: int) -> Path:
    """Weights of stage 3 for windows of `seq_len` frames; the arguments are those of `hybrid_file`.

    If that file is missing: weights at a longer T, if there are some and their network takes windows of any length.
    """
    own = folder / hybrid_file(model, seq_len)
    others = [] if own.exists() else sorted(folder.glob(hybrid_file(model, "*")))
    return next((path for path in others if _fits_shorter(path, seq_len)), own)


def _fits_shorter(path: Path, seq_len: int) -> bool:
    content = read_checkpoint(path, "remove it")
    try:
        return NETWORKS[content["kind"], content["network"]].any_length and content["facts"]["seq_len"] > seq_len
    except (KeyError, TypeError):
        return False


def find_study_weights(checkpoints: Path, network: str | None, remedy: str) -> Path:
    """Weights of the only run of the study below `checkpoints`, or those of the repository if there is no run.

    `network`: which network; None takes a run of any, or the repository's AttributeVAE. The file may be missing.
    Raises `CheckpointError` with `remedy` if there are several runs.
    """
    runs = sorted((checkpoints / STUDY).glob(f"*/{network + '_' if network else ''}*/{STUDY_FILE}"))
    if len(runs) > 1:
        raise CheckpointError(f"{checkpoints / STUDY}: {len(runs)} runs, such as {runs[0]}; {remedy}")
    return runs[0] if runs else RELEASED / STUDY / f"{network or ATTRIBUTE_VAE}.pth"
