"""The error that weights files raise, without torch."""


class CheckpointError(ValueError):
    """A missing or unusable weights file; the message names the file and the remedy."""
