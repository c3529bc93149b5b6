"""The networks, their priors and losses, and weights files. This package imports torch only.

The names below are imported when they are used, so that options, which need `models.names`, are parsed without torch.
"""

from importlib import import_module

_MODULES = {
    "architectures": ("ARCHITECTURES",),
    "base": ("Model",),
    "building": ("adopt", "build", "carry_over", "fate_line"),
    "checkpoint": ("describe", "rebuild"),
    "names": ("LARGE", "PAPER", "PAPER_512"),
    "networks": ("CVAE", "ConvGenerator", "Critic", "Generator", "NoteCVAE", "ProjectionCritic"),
    "prior": ("Posterior",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    """Import a name from its module (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
