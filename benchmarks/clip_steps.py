"""Sample notes and embed sound on request: the part of `benchmarks.clips` that runs in each revision.

The imports and names are those that all revisions since 127d5d5 have. The argument is the folder `released` with the
weights. Each line of the input is "notes DTYPE BATCH CLIPS" or "musicnn CLIPS"; its answer is a line of JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from audio.embedders import musicnn
from models import trained
from models.playing import Playing

SEQ_LEN, MOST_NOTES, NUMBERS_A_NOTE, TEMPERATURE, CLIP_SECONDS, SAMPLE_RATE = 128, 512, 3, 0.8, 9, 16_000


class Sampler:
    """The shipped CVAE of preset large, latents of its prior and random numbers for many clips."""

    def __init__(self, released: Path, clips: int = 64) -> None:
        load = getattr(trained, "load", None) or trained.load_trained  # the second in older revisions
        weights = load(released / "large" / f"hybrid_cvae_best_T{SEQ_LEN}.pth", "cvae", "restore it")
        self.model, rng = weights.model.double(), torch.Generator().manual_seed(0)
        self.genre = torch.arange(clips) % len(weights.genres)
        noise = torch.randn(clips, self.model.latent * SEQ_LEN // 16, generator=rng, dtype=torch.float64)
        self.z = self.model.prior.sample(noise, self.genre)
        self.uniform = torch.rand(clips, MOST_NOTES, NUMBERS_A_NOTE, generator=rng, dtype=torch.float64)

    def play(self, batch: int, clips: int) -> Tensor:
        """Rolls, bool (clips, 128, T), `batch` at a time."""
        like = next(self.model.parameters())
        parts = [slice(first, min(first + batch, clips)) for first in range(0, clips, batch)]
        playing = Playing(temperature=TEMPERATURE)
        return torch.cat([
            self.model.decode_free(self.z[p].to(like), self.genre[p], SEQ_LEN, self.uniform[p], playing).roll
            for p in parts
        ])  # fmt: skip


class Embedder:
    """musicnn on clips of noise."""

    def __init__(self, released: Path) -> None:
        self.network = musicnn.Musicnn().eval()
        # Older revisions have the layer of tags too.
        self.network.load_state_dict(load_file(released / "musicnn" / "MTT_musicnn.safetensors"), strict=False)
        self.log_mel = musicnn.LogMel(SAMPLE_RATE, fft_size=512, hop=256, bands=musicnn.BANDS)
        noise = np.random.default_rng(0).normal(0, 0.1, (1, CLIP_SECONDS * SAMPLE_RATE))
        self.audio = torch.from_numpy(noise.astype(np.float32))

    def embed(self) -> Tensor:
        patches = musicnn.cut_patches(self.log_mel(self.audio), musicnn.patch_count(self.audio.shape[1]))
        hidden = self.network(patches.flatten(0, 1))
        return hidden[0] if isinstance(hidden, tuple) else hidden


def measured(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds of processor time, and the result."""
    started = time.process_time()
    with torch.no_grad():
        result = work()
    return time.process_time() - started, result


def main() -> None:
    torch.set_num_threads(1)
    released = Path(sys.argv[1])
    sampler, embedder = Sampler(released), Embedder(released)
    for line in sys.stdin:
        kind, *words = line.split()
        if kind == "notes":
            dtype, batch, clips = getattr(torch, words[0]), int(words[1]), int(words[2])
            sampler.model.to(dtype)
            taken, rolls = measured(lambda batch=batch, clips=clips: sampler.play(batch, clips))
            onsets = rolls & ~torch.nn.functional.pad(rolls[:, :, :-1], (1, 0))
            answer = {"items": int(onsets.sum()), "result": rolls.flatten().nonzero()[:, 0].tolist()}
        else:
            taken, rows = measured(lambda clips=int(words[0]): torch.stack([embedder.embed() for _ in range(clips)]))
            answer = {"items": len(rows), "result": rows[0].flatten().tolist()}
        print(json.dumps({"seconds": taken, **answer}), flush=True)


if __name__ == "__main__":
    main()
