"""A stage that trains a decoder as a density model on a frame-level benchmark."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.density.frame_model import FrameModel
from benchmarks.density.frames import BENCHMARKS, KEYS, FrameBlocks, read_benchmark
from benchmarks.density.note_model import NoteModel
from common.device import select_device
from common.options import option
from common.randomness import rng_at, seed_at
from data.windows import draw_semitones, transposed
from training.optimizers import optimizer_of, set_dropout
from training.options import OptimizerOptions, TrainingOptions
from training.stage import Phase, Position, Stage

MODEL = "density"
NOTES, FRAMES = DECODERS = ("notes", "frames")
_EVALUATION_BATCH = 32


@dataclass(frozen=True)
class DensityOptions(TrainingOptions, OptimizerOptions):
    """The benchmark and the decoder."""

    frames: Path = option(Path("frames"), "folder with the MATLAB files of the benchmarks")
    benchmark: str = option("jsb", "benchmark", choices=tuple(BENCHMARKS))
    epochs: int = option(20, "passes over the training pieces", minimum=1, maximum=1_000_000)
    decoder: str = option(NOTES, "decoder of notes, or the published one of frames", choices=DECODERS)
    latent: int = option(
        0, "size of the latent for every 16 frames (notes) or a block (frames), which gives a bound; 0: no latent",
        minimum=0, maximum=4096,
    )  # fmt: skip
    learning_rate: float = option(1.5e-3, "learning rate", above=0)
    block: int = option(128, "frames whose notes are modelled together", minimum=2, maximum=4096)
    before: int = option(64, "frames before a block that the decoder gets as context", minimum=0, maximum=4096)
    transpose: bool = option(True, "transpose every training block at random, by -5 to +6 semitones")
    hidden: int = option(192, "width of the attention or recurrent layers", minimum=4, maximum=4096)
    depth: int = option(4, "attention layers", minimum=1, maximum=100)
    metrics: Path = option(Path("metrics"), "folder for the table")


class DensityStage(Stage):
    """Trains on blocks of a benchmark's pieces, which are cut at other frames in each epoch."""

    name, examples = MODEL, "blocks"
    best_by = {MODEL: "nats_per_frame"}
    averaged = (MODEL,)
    free_options = Stage.free_options | {"frames", "metrics"}
    fixed_options = frozenset(("benchmark", "decoder", "latent", "block", "hidden", "depth"))

    def __init__(self, options: DensityOptions) -> None:
        """Raises `UserError` for a missing device."""
        place = f"{options.benchmark}_{options.decoder}_latent{options.latent}_seed{options.seed}"
        folder, checkpoints = options.runs / MODEL / place, options.checkpoints / MODEL / place
        phases = [Phase("train", options.epochs)]
        super().__init__(options, phases, select_device(options.device), folder, checkpoints)

    def open(self) -> None:
        self.pieces = read_benchmark(self.options.frames, self.options.benchmark)

    def open_phase(self, phase: Phase) -> None:
        self._n_blocks = len(FrameBlocks.of(self.pieces["train"], self.options.block))
        self._cut: tuple[int, FrameBlocks, Tensor] | None = None  # of an epoch

    @property
    def n_examples(self) -> int:
        return self._n_blocks

    def build_models(self, phase: Phase) -> list[str]:
        torch.manual_seed(seed_at("weights", self.options.seed, self.name))
        options = self.options
        if options.decoder == NOTES:
            horizon = max(options.block, options.before)
            model = NoteModel(KEYS, horizon, options.hidden, options.depth, options.latent)
        else:
            model = FrameModel(KEYS, options.hidden, options.latent)
            model.start_at(torch.cat(self.pieces["train"]).float().mean(0))
        self.models = {MODEL: model.to(self.device)}
        return [f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters", "best by: nats a frame"]

    def start(self) -> None:
        set_dropout(self.models[MODEL], self.options.dropout)
        super().start()

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {MODEL: optimizer_of(self.models[MODEL], self.options.learning_rate, self.options)}

    def train_step(self, position: Position) -> dict[str, Tensor]:
        seed, place = self.options.seed, (position.epoch, position.example)
        blocks, order = self._blocks_of(position.epoch)
        index = order[position.example : position.example + self.options.batch_size]
        roll, lengths, before = blocks.batch(index, self.options.before)
        if self.options.transpose:
            semitones = draw_semitones(len(index), rng_at("transpose", seed, *place))
            roll, before = transposed(roll, semitones), transposed(before, semitones)
        nats = self._nats(self.models[MODEL], (roll, lengths, before), rng_at("latent", seed, *place))
        loss = nats.sum() / lengths.sum().to(self.device)
        self.update(loss, MODEL)
        return {"nats_per_frame": loss}

    def _nats(self, model: nn.Module, blocks: tuple[Tensor, Tensor, Tensor], rng: torch.Generator) -> Tensor:
        """Nats (B,) of rolls, lengths and the frames before them; `rng` draws the noise of latents."""
        noise = torch.randn(len(blocks[0]), model.noise_size(blocks[0].shape[2]), generator=rng)
        return model.nats(*(each.to(self.device) for each in (*blocks, noise)))

    def _blocks_of(self, epoch: int) -> tuple[FrameBlocks, Tensor]:
        """The blocks of an epoch, and `n_examples` of them in random order."""
        if self._cut is None or self._cut[0] != epoch:
            rng, pieces = rng_at("blocks", self.options.seed, epoch), self.pieces["train"]
            phase = torch.randint(self.options.block, (len(pieces),), generator=rng)
            blocks = FrameBlocks.of(pieces, self.options.block, phase)
            order = torch.randperm(max(len(blocks), self._n_blocks), generator=rng) % len(blocks)
            self._cut = epoch, blocks, order[: self._n_blocks]
        return self._cut[1:]

    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        return {"nats_per_frame": self.nats_per_frame(models[MODEL], "val")}

    @torch.no_grad()
    def nats_per_frame(self, model: nn.Module, split: str) -> float:
        """Return the mean negative log-likelihood (or its bound) of a frame of a split."""
        blocks = FrameBlocks.of(self.pieces[split], self.options.block)
        total, rng = 0.0, rng_at("latent", self.options.seed, split)
        for index in torch.arange(len(blocks)).split(_EVALUATION_BATCH):
            total += self._nats(model, blocks.batch(index, self.options.before), rng).double().sum().item()
        return total / int(blocks.length.sum())

    def facts(self, phase: Phase) -> dict[str, Any]:
        return {"benchmark": self.options.benchmark}

    def identity(self) -> dict[str, Any]:
        return {}

    def weights_file(self, model: str, phase: Phase, which: str) -> str:
        return f"{model}_{which}.pth"
