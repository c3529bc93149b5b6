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
from data.song import OCTAVE, PITCHES
from evaluation.metrics.genre_accuracy import classify
from evaluation.metrics.genre_classifier import TrainedClassifier
from evaluation.metrics.reconstruction import another_song
from evaluation.samples.evaluated import Subject
from evaluation.statistics.features import count, f1
from evaluation.tables import BASELINE, LABEL, OURS, ResultTable, columns

RESTYLING_TABLE = ResultTable(
    "restyling-T{T}.csv",
    "-m programs.restyle",
    (
        *columns(LABEL, origin="model", from_name="from", to_name="to"),
        *columns(OURS, n="windows"),
        *columns(BASELINE, target_before="as target, before"),
        *columns(OURS, target_after="as target, after"),
        *columns(BASELINE, target_real="real target"),
        *columns(OURS, frame_F1="frame F1"),
        *columns(BASELINE, frame_F1_shuffled="another song"),
        *columns(OURS, chroma_F1="chroma F1"),
        *columns(BASELINE, chroma_F1_shuffled="another song"),
    ),
    protocol=("split", "seed", "store_content", "classifier", "n"),
)


@torch.no_grad()
def measure_restyling(
    subject: Subject, classifier: TrainedClassifier, windows: int, min_note_frames: int
) -> pd.DataFrame:
    """A row for each pair of genres, equal ones included: windows of the first, decoded as the second.

    z is the posterior mean with the window's own genre; decoding is without teacher forcing. target_before,
    target_after: share of the windows that the classifier assigns to the target genre. target_real: the same of real
    windows of the target. F1 against the original, by cells and by pitch classes; *_shuffled: against a window of
    another song of the original's genre, which leaves style only, NaN if there is none.
    """
    source = subject.windows
    partner = another_song(source.genre_on_host, source.song, subject.options.seed)
    chosen = {}  # random windows of each genre that are not silent
    for genre_id in source.genre_on_host.unique().tolist():
        index = (source.genre_on_host == genre_id).nonzero()[:, 0]
        order = torch.randperm(len(index), generator=rng_at("restyling", subject.options.seed, genre_id))
        index = index[order][: 2 * windows]
        index = index[source.rolls(index).amax((1, 2)).cpu() > 0][:windows]
        if len(index):
            chosen[genre_id] = index
    originals = {genre_id: (source.rolls(index) > 0).cpu() for genre_id, index in chosen.items()}

    def predicted(rolls: Tensor) -> np.ndarray:
        """Predicted genres of rolls, without short notes as in the classifier's training."""
        return classify(classifier.model, [drop_short_notes(rolls.numpy(), min_note_frames)]).predicted.numpy()

    before = {genre_id: predicted(rolls) for genre_id, rolls in originals.items()}
    rows = []
    for of, to in tqdm([(of, to) for of in chosen for to in chosen], "restyling"):
        index = chosen[of]
        batch = source.batch(index)
        z = subject.cvae.encode(*batch).mean
        restyled = subject.decode_free(z, torch.full_like(batch.genre, to), index).roll.cpu()
        paired = partner[index] >= 0
        other = (source.rolls(partner[index][paired]) > 0).cpu()
        names = {"from_id": of, "to_id": to, "from_name": subject.genres[of], "to_name": subject.genres[to]}
        shares = {
            "target_before": (before[of] == to).mean(),
            "target_after": (predicted(restyled) == to).mean(),
            "target_real": (before[to] == to).mean(),
        }
        likeness = _likeness(restyled, originals[of], "") | _likeness(restyled[paired], other, "_shuffled")
        rows.append(names | {"n": len(index)} | shares | likeness)
    return pd.DataFrame(rows).assign(**classifier.facts, **subject.facts)


def _likeness(restyled: Tensor, truth: Tensor, suffix: str) -> dict[str, Any]:
    """F1 of cells and of pitch classes over all windows, bool (n, 128, T)."""
    rolls = restyled, truth
    chroma = [F.pad(each, (0, 0, 0, -PITCHES % OCTAVE)).unflatten(1, (-1, OCTAVE)).any(1) for each in rolls]
    values = {}
    for name, pair in (("frame", rolls), ("chroma", chroma)):
        counts = [float(part.sum()) for part in count(*pair)]
        values[f"{name}_F1{suffix}"] = f1(*counts) if len(truth) else np.nan
    return values
