"""Accuracy of a genre classifier on real and on generated clips: does generated music fit its genre?

A clip without sound has no genre: its predicted class is silence, which is never right, and its genre probabilities are
1 / n_genres each.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from evaluation.metrics.genre_classifier import GenreClassifier, TrainedClassifier
from evaluation.samples.clips import Clips, ClipSource
from evaluation.tables import ALL_ID, ALL_NAME, BASELINE, LABEL, OURS, SHARE, Column, ResultTable, columns

SILENT = "(silence)"
_BATCH = 512

GENRE_TABLE = ResultTable(
    "genre-T{T}.csv",
    "eval_genre.py",
    (
        *columns(LABEL, origin="made by", genre_name="{condition}"),
        *columns(OURS, accuracy_generated="generated", accuracy_sounding="of sounding clips"),
        *columns(BASELINE, accuracy_real="real (ceiling)", chance="chance"),
        *columns(OURS, n_generated="clips", n_empty="empty", n_real="real clips"),
        *columns(BASELINE, windows_accuracy_real="by window", windows_majority="majority"),
        *columns(OURS, inception_generated="IS generated"),
        *columns(BASELINE, inception_real="IS real"),
    ),
    protocol=(
        "split", "seed", "store_content", "threshold", "min_note_frames", "n_real", "n_generated", "classifier",
    ),
)  # fmt: skip


def answer_columns(origin: str, genres: Iterable[str]) -> list[Column]:
    """The columns of the confusion table of "real" or "generated" clips."""
    shares = {f"{origin}_as_{answer}": answer for answer in (*genres, SILENT)}
    return [*columns(LABEL, origin="made by", genre_name="{condition}"), *columns(SHARE, **shares)]


class Answers(NamedTuple):
    """Predictions for n clips: float64 (n, n_genres), and int64 (n,) with n_genres for silence."""

    probability: Tensor
    predicted: Tensor


_ByGenre = dict[int, Answers]


@torch.no_grad()
def classify(model: GenreClassifier, batches: Iterable[np.ndarray]) -> Answers:
    """Classify batches of clips, bool (B, 128, T)."""
    answers = []
    for rolls in batches:
        probability = model(torch.from_numpy(rolls).float().to(model.temperature.device)).cpu().double().softmax(1)
        predicted, n_genres = probability.argmax(1), probability.shape[1]
        silent = torch.from_numpy(~rolls.any(axis=(1, 2)))
        probability[silent], predicted[silent] = 1 / n_genres, n_genres
        answers.append((probability, predicted))
    return Answers(*map(torch.cat, zip(*answers, strict=True)))


def inception_score(probability: Tensor) -> float:
    """exp E KL(p(y|x) || p(y)) of p(y|x) (n, n_genres), where p(y) is its mean (Salimans et al. 2016).

    Between 1 (predictions do not depend on the clip) and n_genres (certain predictions, all equally frequent).
    """
    marginal = probability.mean(0)
    divergence = torch.xlogy(probability, probability) - torch.xlogy(probability, marginal)
    return float(divergence.sum(1).mean().exp())


def measure_genre_accuracy(source: ClipSource, classifier: TrainedClassifier, clips: int) -> pd.DataFrame:
    """A row for each genre and one for all, over all real clips and `clips` generated ones of each genre.

    For all, shares are means over genres. accuracy_*: share of correct predictions; accuracy_sounding: among the
    generated clips that are not silent, NaN if a genre has none. real_as_*, generated_as_*: the confusion table.
    windows_*: all real clips weighted equally, and the majority baseline. inception_*: with the same number
    `n_inception` of each genre. A genre without real clips has only a note, and is not part of all.
    """
    n_real = {genre_id: len(source.real.order(genre_id)) for genre_id in range(len(source.genres))}
    present = [genre_id for genre_id, n in n_real.items() if n]
    real, generated = {}, {}
    for genre_id in tqdm(present, source.title, unit=" genres"):
        real[genre_id] = classify(classifier.model, _batches(source.real, genre_id, n_real[genre_id]))
        generated[genre_id] = classify(classifier.model, _batches(source, genre_id, clips))
    genres = pd.DataFrame([_of_genre(genre_id, real, generated, source.genres) for genre_id in n_real])
    frame = pd.concat([genres, pd.DataFrame([_of_all(genres, real, generated)])], ignore_index=True)
    commonest = genres.loc[genres["n_real"].idxmax(), "genre_id"]
    majority = (frame["genre_id"] == commonest).astype(float)
    majority.iloc[-1] = genres["n_real"].max() / genres["n_real"].sum()
    return frame.assign(windows_majority=majority, chance=1 / len(present), **classifier.facts, **source.facts)


def _batches(clips: Clips, genre_id: int, count: int) -> Iterator[np.ndarray]:
    """The first `count` clips of a genre, batch by batch."""
    for first in range(0, count, _BATCH):
        yield clips.clips(genre_id, first, min(_BATCH, count - first))


def _of_genre(genre_id: int, real: _ByGenre, generated: _ByGenre, genres: list[str]) -> dict[str, Any]:
    row = {"genre_id": genre_id, "genre_name": genres[genre_id], "note": ""}
    if genre_id not in real:
        return row | {"n_real": 0, "n_generated": 0, "n_empty_real": 0, "n_empty": 0, "note": "no real clips"}
    for origin, ending, answers in (("real", "_real", real[genre_id]), ("generated", "", generated[genre_id])):
        n = len(answers.predicted)
        counts = answers.predicted.bincount(minlength=len(genres) + 1).numpy()  # silence last
        row |= {f"accuracy_{origin}": counts[genre_id] / n, f"n_{origin}": n, f"n_empty{ending}": int(counts[-1])}
        row |= {f"{origin}_as_{answer}": count / n for answer, count in zip((*genres, SILENT), counts, strict=True)}
    silent = row[f"generated_as_{SILENT}"]
    row["accuracy_sounding"] = row["accuracy_generated"] / (1 - silent) if silent < 1 else np.nan
    row["windows_accuracy_real"] = row["accuracy_real"]
    return row


def _of_all(genres: pd.DataFrame, real: _ByGenre, generated: _ByGenre) -> dict[str, Any]:
    """Means over the genres that have clips, sums of counts, and shares of all windows."""
    there = genres[genres["n_real"] > 0]
    counts = there[[name for name in there if name.startswith("n_")]].sum()
    shares = there.drop(columns=["genre_id", "genre_name", "note", *counts.index])
    n = min(len(answers.predicted) for answers in [*real.values(), *generated.values()])
    scores = {
        f"inception_{origin}": inception_score(torch.cat([answers.probability[:n] for answers in by_genre.values()]))
        for origin, by_genre in (("real", real), ("generated", generated))
    }
    by_window = (there["accuracy_real"] * there["n_real"]).sum() / there["n_real"].sum()
    named = {"genre_id": ALL_ID, "genre_name": ALL_NAME, "note": "", **shares.mean(skipna=False), **counts}
    return named | {"windows_accuracy_real": by_window, "n_inception": n} | scores
