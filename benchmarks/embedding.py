"""Seconds per clip of the embedders, one clip at a time on one thread.

    python -m benchmarks.embedding

AST has its base size and random weights, which take as long as trained ones.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

from audio.embedders.embedder import Embedder, open_embedder
from benchmarks.timing import machine, parse_arguments, print_table, seconds

SAMPLE_RATE, CLIP_SECONDS = 16_000, (3, 5, 9)


def noise(clip_seconds: int) -> np.ndarray:
    return np.random.default_rng(clip_seconds).normal(0, 0.1, clip_seconds * SAMPLE_RATE).astype(np.float32)


def embed_seconds(embedder: Embedder, **repeats: int) -> list[str]:
    times = [seconds(lambda clip=noise(length): embedder.embed([clip]), **repeats) for length in CLIP_SECONDS]
    return [f"{time:.3f}" for time in times]


def main() -> None:
    parse_arguments(__doc__)
    torch.set_num_threads(1)
    rows = [(name, *embed_seconds(open_embedder(name))) for name in ("MTT_musicnn", "MSD_musicnn")]
    extract, clip = ASTFeatureExtractor(), noise(CLIP_SECONDS[-1])
    with tempfile.TemporaryDirectory() as folder:
        ASTModel(ASTConfig()).save_pretrained(folder)
        extract.save_pretrained(folder)
        transformer = open_embedder("ast", ast_dir=Path(folder))
    rows.append(("ast, base size", *embed_seconds(transformer, repeats=3, warm_up=1)))
    features = seconds(lambda: extract([clip], sampling_rate=SAMPLE_RATE, return_tensors="pt"), repeats=3)
    rows.append(("its features alone", "", "", f"{features:.3f}"))
    print_table(f"Seconds per clip; {machine()}", ("", *(f"{length} s" for length in CLIP_SECONDS)), rows)


if __name__ == "__main__":
    main()
