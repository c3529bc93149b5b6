"""Infills and variations of held-out songs, against the real music and against plain continuation.

    python -m benchmarks.infilling --store store --songs 5

Of each genre's first test songs the eight seconds in the middle are redrawn: by continuation alone, and by infilling
with several numbers of candidates. Bits: of the four seconds that follow, given the four before them, z the posterior
mean of all eight, per second; fewer: than after the continuation of the same piece, with its standard error. Density:
of onsets, relative to the real span's, the mean of |log2|. Pitch classes: total variation between those of the span and
of the real span. Then the share of onsets that --vary changes, by amount.
"""

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.timing import parse_arguments
from common.device import prepare_process
from data.song import OCTAVE, PITCHES
from data.store import RollStore
from data.windows import WindowSource
from evaluation.samples.sampling import Performance, sample_noise, sample_prior
from evaluation.statistics.features import onsets
from generation.changes import changed_onsets
from generation.infilling import CONTEXT, Redrawing, frames, vary
from models.base import FRAMES_A_SECOND
from models.playing import Playing
from models.trained import Trained, load

SPAN, SECONDS = (CONTEXT, CONTEXT + 8), 8 + 2 * CONTEXT
AMOUNTS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
CANDIDATES = (1, 8, 32)


class Piece(NamedTuple):
    """The middle `SECONDS` of a song of a genre, and of another one, bool (1, 128, T) each."""

    genre_id: int
    roll: Tensor
    other: Tensor


def held_out(store: RollStore, songs: int) -> list[Piece]:
    """The first test songs of each genre."""
    source = WindowSource(store, "test", SECONDS * FRAMES_A_SECOND)
    pieces = []
    for genre_id in range(len(store.genres)):
        numbers = source.song[source.genre_on_host == genre_id].unique()[: songs + 1].tolist()
        windows = [(source.song == number).nonzero()[:, 0] for number in numbers]
        rolls = [source.rolls(own[len(own) // 2, None]) > 0 for own in windows]
        pieces += [Piece(genre_id, rolls[k], rolls[(k + 1) % len(rolls)]) for k in range(min(songs, len(rolls)))]
    return pieces


def measures(redrawing: Redrawing, piece: Tensor, real: Tensor) -> dict[str, float]:
    """Numbers of a piece, bool (1, 128, T), whose span was redrawn."""
    around = frames(piece, SPAN[1] - CONTEXT, SECONDS)
    genre = torch.tensor([redrawing.genre_id])
    z = redrawing.encode(around).to(next(redrawing.model.parameters()))
    nats = redrawing.model.continuation_nll(z, genre, around.to(z), 0, CONTEXT)
    found, true = (onsets(frames(each, *SPAN))[0] for each in (piece, real))
    pitch_class = torch.arange(PITCHES) % OCTAVE
    classes = [torch.zeros(OCTAVE).index_add(0, pitch_class, each.sum(1).float()) for each in (found, true)]
    shares = [each / each.sum().clamp_min(1) for each in classes]
    return {
        "bits": float(nats) / math.log(2) / CONTEXT,
        "onsets": float(found.sum()) / 8,
        "density": abs(math.log2((float(found.sum()) + 1) / (float(true.sum()) + 1))),
        "pitch classes": float((shares[0] - shares[1]).abs().sum()) / 2,
        "equal onsets": 1 - changed_onsets(found[None], true[None]),
        "identical": float(torch.equal(frames(piece, *SPAN), frames(real, *SPAN))),
        "empty": float(not found.any()),
    }


@torch.no_grad()
def infill(trained: Trained, pieces: list[Piece], temperature: float) -> pd.DataFrame:
    """A row for each method: means over the pieces."""
    rows, how = [], Performance(Playing(temperature=temperature), exact=False)
    for number, (genre_id, real, other) in enumerate(tqdm(pieces, "infills")):
        of_draws = {draws: Redrawing(trained.model, genre_id, draws, how, seed=number) for draws in CANDIDATES}
        redrawing = of_draws[1]
        start, end = frames(real, 0, SPAN[0]), frames(real, SPAN[1], SECONDS)
        before = redrawing.encode(start)
        noise = sample_noise(0, 1, redrawing.model.noise_size(real.shape[2] - start.shape[2]), number)
        z = torch.cat([before, sample_prior(trained.model, noise, [genre_id], before)], dim=1)[:, None]
        made = {
            "real": real,
            "another song's": torch.cat([start, frames(other, *SPAN), end], dim=2),
            "continuation": redrawing.redraw(real, SPAN, z),
        }
        for draws, each in of_draws.items():
            made[f"infill, {draws}"] = each.redraw(real, SPAN, each.latents_between(real, SPAN))
        rows += [{"span": name, **measures(redrawing, piece, real)} for name, piece in made.items()]
    frame = pd.DataFrame(rows).assign(piece=lambda each: each.groupby("span", sort=False).cumcount())
    bits = frame.pivot(index="piece", columns="span", values="bits")
    gain = bits.rsub(bits["continuation"], axis=0)  # of the same piece
    table = frame.drop(columns="piece").groupby("span", sort=False).mean()
    table.insert(1, "fewer", gain.mean())
    table.insert(2, "±", gain.std() / len(gain) ** 0.5)
    return table


def variations(trained: Trained, pieces: list[Piece], temperature: float) -> pd.DataFrame:
    """Share of changed onsets by amount: mean, least and most over the pieces; `steps down` from the amount before."""
    how, changes = Performance(Playing(temperature=temperature), exact=False), []
    for number, (genre_id, real, _) in enumerate(tqdm(pieces, "variations")):
        redrawing = Redrawing(trained.model, genre_id, 4, how, seed=number)
        changes.append([changed_onsets(vary(redrawing, real[0], amount, 1), real) for amount in AMOUNTS])
    table = torch.tensor(changes)
    falls = torch.cat([torch.zeros(len(table), 1), (table.diff(dim=1) < 0).double()], dim=1).sum(0)
    columns = {"mean": table.mean(0), "least": table.amin(0), "most": table.amax(0), "steps down": falls}
    return pd.DataFrame(columns, index=pd.Index(AMOUNTS, name="amount"))


def main() -> None:
    options = parse_arguments(
        __doc__, store=(Path("store"), "roll store"), songs=(5, "test songs of each genre"),
        weights=(Path("released/large/hybrid_cvae_best_T128.pth"), "a CVAE of notes"),
        temperature=(0.8, "of the decoder"),
    )  # fmt: skip
    prepare_process(torch.device("cpu"))
    trained = load(options.weights, "cvae", "name weights of preset large")
    pieces = held_out(RollStore.open(options.store), options.songs)
    print(infill(trained, pieces, options.temperature).round(3).to_string(), flush=True)
    print(variations(trained, pieces, options.temperature).round(3).to_string())


if __name__ == "__main__":
    main()
