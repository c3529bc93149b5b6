"""The size of z: fixed for a window, or proportional to its length."""

from .base import FRAMES_A_SECOND


class LatentOfWindow:
    """Mixin of a model with one z of `latent` numbers for a window of any length."""

    latent: int

    def noise_size(self, seq_len: int) -> int:
        """Numbers in z for a window of `seq_len` frames."""
        return self.latent


class LatentOfSecond:
    """Mixin of a model with `latent` numbers of z for every second, 16 frames, of a window."""

    latent: int
    any_length = True

    def noise_size(self, seq_len: int) -> int:
        """Numbers in z for a window of `seq_len` frames."""
        return self.latent * (seq_len // FRAMES_A_SECOND)
