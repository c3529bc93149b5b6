"""Restyling: windows through the CVAE into another genre, judged by a classifier and by likeness to the original."""

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
        Column("target_before", "as target, before", BASELINE),
        Column("target_after", "as target, after"),
        Column("target_real", "real target", BASELINE),
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
    """A row for each pair of genres, equal ones included: windows of the first, decoded as the second.

    z is the posterior mean with the window's own genre; decoding is without teacher forcing. target_before,
    target_after: share of the windows that the classifier assigns to the target genre. target_real: the same of real
    windows of the target. F1 against the original, by cells and by pitch classes; *_shuffled: against a window of
    another song of the original's genre, which leaves style only, NaN if there is none.
    """
    source = subject.windows
    partner = another_song(source.genre_on_host, source.song, subject.options.seed)
    chosen = {genre_id: _choose(subject, genre_id, windows) for genre_id in range(len(subject.genres))}
    chosen = {genre_id: index for genre_id, index in chosen.items() if len(index)}
    originals = {genre_id: (source.rolls(index) > 0).cpu() for genre_id, index in chosen.items()}

    def predicted(rolls: Tensor) -> np.ndarray:
        """Predicted genres of rolls, without short notes as in the classifier's training."""
        return classify(classifier.model, [drop_short_notes(rolls.numpy(), min_note_frames)]).predicted.numpy()

    before = {genre_id: predicted(rolls) for genre_id, rolls in originals.items()}
    rows = []
    for of, to in tqdm([(of, to) for of in chosen for to in chosen], "restyling", disable=not progress):
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
                "target_before": (before[of] == to).mean(),
                "target_after": (predicted(restyled) == to).mean(),
                "target_real": (before[to] == to).mean(),
                **_likeness(restyled, originals[of], ""),
                **_likeness(restyled[paired], other, "_shuffled"),
            }
        )
    return pd.DataFrame(rows).assign(**classifier.facts, **subject.facts)


def _choose(subject: Subject, genre_id: int, windows: int) -> Tensor:
    """Random windows of a genre that are not silent, int64 (at most `windows`,)."""
    source = subject.windows
    index = (source.genre_on_host == genre_id).nonzero()[:, 0]
    order = torch.randperm(len(index), generator=rng_at("restyling", subject.options.seed, genre_id))
    index = index[order][: 2 * windows]
    return index[source.rolls(index).amax((1, 2)).cpu() > 0][:windows] if len(index) else index


def _likeness(restyled: Tensor, truth: Tensor, suffix: str) -> dict[str, Any]:
    """F1 of cells and of pitch classes over all windows, bool (n, 128, T)."""
    values = {}
    for name, fold in (("frame", lambda rolls: rolls), ("chroma", _chroma)):
        counts = [float(part.sum()) for part in count(fold(restyled), fold(truth))]
        values[f"{name}_F1{suffix}"] = f1(*counts) if len(truth) else np.nan
    return values


def _chroma(rolls: Tensor) -> Tensor:
    """Which pitch classes sound, bool (n, 12, T)."""
    return F.pad(rolls, (0, 0, 0, -rolls.shape[1] % OCTAVE)).unflatten(1, (-1, OCTAVE)).any(1)
