"""A colour for each genre, the same in all figures."""

# By genre id, again from the start where there are more. The first four stay apart (at least 27 in CIELAB) for readers
# with any of the three kinds of dichromacy, as simulated by Machado, Oliveira and Fernandes (2009).
GENRE_COLORS = ("#1f5f99", "#c87800", "#17a882", "#7a1248", "#5a5a5a", "#d6453d", "#3fa7d6", "#8a6a14")

# All genres together.
ALL_COLOR = "#444444"
