"""Restyling: windows through the CVAE into another genre; what a classifier says, and what is left of the original."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from common.randomness import rng_at
from data.pianoroll import drop_short_notes
from data.song import OCTAVE
from evaluation.metrics.genre_accuracy import classify
from evaluation.metrics.genre_classifier import TrainedClassifier
from evaluation.metrics.reconstruction import another_song, count, f1
from evaluation.samples.subject import Subject
from evaluation.tables import BASELINE, LABEL, Column, ResultTable

RESTYLING_TABLE = ResultTable(
    "restyling-T{T}.csv",
    "-m programs.restyle",
    (
        Column("origin", "model", LABEL),
        Column("from_name", "from", LABEL),
        Column("to_name", "to", LABEL),
        Column("n", "windows"),
        Column("target_before", "told target, before", BASELINE),
        Column("target_after", "told target, after"),
        Column("target_real", "real ones of it", BASELINE),
        Column("frame_F1", "frame F1"),
        Column("frame_F1_shuffled", "another song", BASELINE),
        Column("chroma_F1", "chroma F1"),
        Column("chroma_F1_shuffled", "another song", BASELINE),
    ),
    protocol=("split", "seed", "store_content", "classifier", "n"),
)


@torch.no_grad()
def measure_restyling(
    subject: Subject, classifier: TrainedClassifier, windows: int, min_note_frames: int, *, progress: bool = True
) -> pd.DataFrame:
    """A row for each genre that windows come from and each that they go to, its own included.

    z is the posterior mean of the window, encoded with its own genre; the decoder is told the other one and runs on its
    own. target_before, target_after: share of the windows that the classifier takes for the target. target_real: of
    real windows of the target. F1s compare with the original, cell by cell, or pitch class by pitch class;
    *_shuffled with a window of another song of the original's genre: what style alone gives; NaN where there is none.
    """
    source = subject.windows
    partner = another_song(source.genre_on_host, source.song, subject.options.seed)
    chosen = {genre_id: _choose(subject, genre_id, windows) for genre_id in range(len(subject.genres))}
    chosen = {genre_id: index for genre_id, index in chosen.items() if len(index)}
    originals = {genre_id: (source.rolls(index) > 0).cpu() for genre_id, index in chosen.items()}
    told = {genre_id: _told(classifier, rolls, min_note_frames) for genre_id, rolls in originals.items()}
    pairs = [(of, to) for of in chosen for to in chosen]
    rows = []
    for of, to in tqdm(pairs, "restyling", disable=not progress):
        index = chosen[of]
        batch = source.batch(index)
        z = subject.cvae.encode(*batch).mean
        restyled = subject.decode_free(z, torch.full_like(batch.genre, to), index).roll.cpu()
        paired = partner[index] >= 0
        other = (source.rolls(partner[index][paired]) > 0).cpu()
        rows.append(
            {
                "from_id": of,
                "to_id": to,
                "from_name": subject.genres[of],
                "to_name": subject.genres[to],
                "n": len(index),
                "target_before": (told[of] == to).mean(),
                "target_after": (_told(classifier, restyled, min_note_frames) == to).mean(),
                "target_real": (told[to] == to).mean(),
                **_likeness(restyled, originals[of], ""),
                **_likeness(restyled[paired], other, "_shuffled"),
            }
        )
    return pd.DataFrame(rows).assign(**classifier.facts, **subject.facts)


def _choose(subject: Subject, genre_id: int, windows: int) -> Tensor:
    """Windows of a genre in which something sounds, in an order that the seed decides."""
    source = subject.windows
    index = (source.genre_on_host == genre_id).nonzero()[:, 0]
    order = torch.randperm(len(index), generator=rng_at("restyling", subject.options.seed, genre_id))
    index = index[order][: 2 * windows]
    return index[source.rolls(index).amax((1, 2)).cpu() > 0][:windows] if len(index) else index


def _told(classifier: TrainedClassifier, rolls: Tensor, min_note_frames: int) -> np.ndarray:
    """What the classifier takes each roll for, cleaned as those that it was trained on."""
    return classify(classifier.model, [drop_short_notes(rolls.numpy(), min_note_frames)]).predicted.numpy()


def _likeness(restyled: Tensor, truth: Tensor, suffix: str) -> dict[str, Any]:
    """F1 of cells and of pitch classes over all windows, bool (n, 128, T)."""
    values = {}
    for name, fold in (("frame", lambda rolls: rolls), ("chroma", _chroma)):
        counts = [float(part.sum()) for part in count(fold(restyled), fold(truth))]
        values[f"{name}_F1{suffix}"] = f1(*counts) if len(truth) else np.nan
    return values


def _chroma(rolls: Tensor) -> Tensor:
    """Whether each pitch class sounds, bool (n, 12, T)."""
    return F.pad(rolls, (0, 0, 0, -rolls.shape[1] % OCTAVE)).unflatten(1, (-1, OCTAVE)).any(1)
