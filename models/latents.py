"""How many numbers z has: some for a whole window, or some for every second of it."""

FRAMES_A_SECOND = 16


class LatentOfWindow:
    """A model whose z is of one size, whatever the window's length."""

    latent: int
    # Whether z grows with the window, so that one z is a piece of any length.
    any_length = False

    def noise_size(self, seq_len: int) -> int:
        """How many numbers z has for a window of `seq_len` frames."""
        return self.latent


class LatentOfSecond:
    """A model whose z has `latent` numbers for every second, 16 frames."""

    latent: int
    any_length = True

    def noise_size(self, seq_len: int) -> int:
        """How many numbers z has for a window of `seq_len` frames."""
        return self.latent * (seq_len // FRAMES_A_SECOND)
