"""Names of the weights files, once for all: training writes them, evaluation, generation and torch.hub read them."""

from pathlib import Path

BEST, LAST = "best", "last"
# Where training puts the weights of each preset, and where those are that come with the repository.
FOLDERS = {"paper": "checkpoints", "large": "checkpoints/large"}
RELEASED = Path(__file__).resolve().parents[1] / "released"


def folder_of(preset: str, root: Path = Path()) -> Path:
    """Where the weights of a preset are: those of your own training below `root`, or those of the repository."""
    own = root / FOLDERS[preset]
    return own if any(own.glob("*.pth")) else RELEASED / preset


def pretrained_file(model: str, which: str = BEST) -> str:
    """Weights of stages 1 and 2; `model` is "cvae", "generator" or "critic"."""
    return f"{model}_pretrained_{which}.pth"


def hybrid_file(model: str, seq_len: int | str, which: str = BEST) -> str:
    """Weights of stage 3 at one T ("*" for a pattern of all); `model` is "cvae", "G" or "D"."""
    return f"hybrid_{model}_best_T{seq_len}.pth" if which == BEST else f"hybrid_{model}_T{seq_len}_last.pth"
