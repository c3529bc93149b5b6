"""A picture of a scored song: its notes by surprise, bits by second, and genre probabilities by window."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from common.files import write_bytes
from data.song import OCTAVE
from figures.pitch_range import note_name
from figures.style import GENRE_COLORS, GREY, INK, png, style_axis

_HEIGHTS, _INCHES_PER_SECOND, _WIDTHS = (3, 2, 1.2), 0.12, (9.0, 30.0)
_BASELINE_STYLES = {"previous_frame_per_second": (GREY, "--"), "pitch_mean_per_second": (GREY, ":")}
_BRIGHTEST = 0.95  # quantile of the notes' bits with the strongest colour


def save_score_sheet(
    path: Path, curve: pd.DataFrame, notes: pd.DataFrame, genres: Sequence[str], *, title: str, marked: int
) -> None:
    """Write a PNG from tables of `evaluation.metrics.song_scores`; the `marked` most surprising notes have rings."""
    seconds = len(curve)
    width = float(np.clip(seconds * _INCHES_PER_SECOND, *_WIDTHS))
    figure = Figure(figsize=(width, sum(_HEIGHTS) + 1), dpi=120, layout="constrained")
    of_notes, of_bits, of_genres = figure.subplots(3, 1, sharex=True, height_ratios=_HEIGHTS)
    ends = notes["time"] + notes["seconds"]
    lines = np.stack([np.stack([notes["time"], notes["pitch"]], 1), np.stack([ends, notes["pitch"]], 1)], 1)
    limits = 0, max(1.0, float(notes["bits"].quantile(_BRIGHTEST)))
    drawn = LineCollection(lines, array=notes["bits"], cmap="viridis_r", clim=limits, linewidths=2.5)
    of_notes.add_collection(drawn)
    figure.colorbar(drawn, ax=of_notes, label="bits of a note", pad=0.01, extend="max")
    first = notes.head(marked)
    of_notes.scatter(first["time"], first["pitch"], s=45, facecolors="none", edgecolors=GENRE_COLORS[5], linewidths=1.2)
    low, high = notes["pitch"].min() // OCTAVE * OCTAVE, (notes["pitch"].max() // OCTAVE + 1) * OCTAVE
    octaves = np.arange(low, high + 1, OCTAVE)
    of_notes.set_yticks(octaves, [note_name(pitch) for pitch in octaves])
    of_notes.set(ylim=(low - 1, high + 1), ylabel="pitch")
    edges = np.arange(seconds + 1)
    colors = [GENRE_COLORS[k % len(GENRE_COLORS)] for k in range(len(genres))]
    for name, color in zip(genres, colors, strict=True):
        of_bits.stairs(curve[f"bits {name}"], edges, color=color, label=name, baseline=None)
    for name, (color, style) in _BASELINE_STYLES.items():
        label = name.removesuffix("_per_second").replace("_", " ")
        of_bits.stairs(curve[name], edges, color=color, linestyle=style, label=label, baseline=None)
    of_bits.set(ylabel="bits", ylim=(0, None))
    shares = np.repeat(curve[[f"probability {name}" for name in genres]].to_numpy().T, 2, axis=1)
    of_genres.stackplot(np.repeat(edges, 2)[1:-1], shares, colors=colors, alpha=0.8)
    of_genres.set(ylabel="probability", ylim=(0, 1), xlabel="time (s)", xlim=(0, seconds))
    for axis in (of_notes, of_bits, of_genres):
        axis.tick_params(labelsize=8)
        style_axis(axis)
    figure.legend(*of_bits.get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    write_bytes(path, png(figure))
