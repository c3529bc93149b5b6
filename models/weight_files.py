"""Names of the weights files, once for all: training writes them, evaluation, generation and torch.hub read them."""

BEST, LAST = "best", "last"
# Where each preset has its weights, from the root of the repository.
FOLDERS = {"paper": "checkpoints", "large": "checkpoints/large"}


def pretrained_file(model: str, which: str = BEST) -> str:
    """Weights of stages 1 and 2; `model` is "cvae", "generator" or "critic"."""
    return f"{model}_pretrained_{which}.pth"


def hybrid_file(model: str, seq_len: int | str, which: str = BEST) -> str:
    """Weights of stage 3 at one T ("*" for a pattern of all); `model` is "cvae", "G" or "D"."""
    return f"hybrid_{model}_best_T{seq_len}.pth" if which == BEST else f"hybrid_{model}_T{seq_len}_last.pth"
