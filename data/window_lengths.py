"""The lengths T of windows."""

WINDOW_LENGTHS = (32, 64, 128)  # of the curriculum, in frames
