"""What the three stages on piano rolls share: the store, windows of one T, their order, and random numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Self

import torch
from torch import Tensor, nn

from common.device import select_device
from common.errors import UserError
from common.files import HASH_DIGITS
from common.randomness import rng_at, seed_at
from data.order import WindowOrder, inverse_frequency_weights
from data.splits import folded
from data.store import RollStore
from data.windows import Batch, WindowSource, draw_semitones
from models import ARCHITECTURES, adopt, build, fate_line
from models.trained import Trained, load
from models.weight_files import BEST, PROGRAMS, pretrained_file
from training.options import RollTrainingOptions
from training.ranks import WHOLE, Part
from training.stage import Phase, Position, Stage


def build_sized(kind: str, architecture: str, **arguments: Any) -> nn.Module:
    """`models.build` with sizes of the user's options. Raises `UserError` if they do not fit."""
    try:
        return build(kind, architecture, **arguments)
    except ValueError as error:
        raise UserError(f"{error}; leave the option out") from error


def with_prior(model: nn.Module, prior: str | None) -> tuple[nn.Module, list[str]]:
    """`model` if its prior is of the kind `prior` or `prior` is None; else a copy with a new prior of that kind.

    Also returns lines for the log.
    """
    if prior in (None, model.config["prior"]):
        return model, []
    adopted, _ = adopt(model, range(model.config["n_genres"]), prior)
    return adopted, [f"prior of the {model.kind}: all tensors new, of the kind {prior}"]


@dataclass(frozen=True)
class RollPhase(Phase):
    """Epochs on windows of `seq_len` frames."""

    seq_len: int

    @property
    def frames(self) -> int:
        return self.seq_len


class Draw:
    """Batches and random numbers of one training step, a function of seed and position."""

    def __init__(
        self, source: WindowSource, order: WindowOrder, options: RollTrainingOptions, position: Position,
        part: Part = WHOLE,
    ) -> None:  # fmt: skip
        """`part`: the rows of this process, which it takes of what is drawn for the whole batch."""
        self._source, self._order, self._position, self._part = source, order, position, part
        self._transpose = options.transpose
        self.n = len(order.examples(position.epoch, position.example))  # windows of the whole batch
        step = position.example // options.batch_size
        place = options.seed, source.seq_len, position.epoch, step
        self._rng = rng_at("noise", *place, device=source.device)

    def index(self, stream: int = 0) -> Tensor:
        """Indices of the step's windows, int64 (B,) on the CPU. Streams above 0 are for the critic's steps."""
        return self._order.examples(self._position.epoch, self._position.example, stream)[self._part.rows]

    def batch(self) -> Batch:
        """The step's windows."""
        return self.batch_of(self.index())

    def batch_of(self, index: Tensor) -> Batch:
        """Windows at `index`, int64 (B,) on the CPU, transposed if the options say so.

        `index` may consist of the windows of several streams.
        """
        if not self._transpose:
            return self._source.batch(index)
        streams = len(index) // len(self.index())
        semitones = self._semitones(streams * self.n).view(streams, self.n)[:, self._part.rows]
        return self._source.batch(index, semitones.flatten())

    def _semitones(self, n: int) -> Tensor:
        return draw_semitones(n, self._rng)

    def most_notes(self) -> Tensor:
        """At least the number of notes in each roll of `batch`, int64 (B,) on the host."""
        return self._source.most_notes(self.index())

    def normal(self, size: int, first: int | None = None) -> Tensor:
        """Standard normal noise for the rows of this process, (B, size), or for those of the batch's `first` rows."""
        shape = self.n if first is None else first, size
        return torch.randn(shape, generator=self._rng, device=self._source.device)[self._part.rows]

    def uniform(self, *size: int) -> Tensor:
        """Uniform random numbers in [0, 1) for the rows of this process, (B, *size)."""
        return torch.rand(self.n, *size, generator=self._rng, device=self._source.device)[self._part.rows]


class RollStage(Stage):
    """A stage on windows of a roll store. Subclasses define models and optimizers; the objective is a function.

    `iterate(stage, draw)`: one iteration on the batches of `draw`; returns the losses to log, scalars.
    """

    examples = "windows"
    free_options = Stage.free_options | {"store", "allow_other_songs", "allow_other_cvae"}
    fixed_options = frozenset(
        (
            "seq_len",
            "seq_lens",
            "architecture",
            "latent",
            "hidden",
            "depth",
            "event_size",
            "genre_size",
            "noise",
            "outline",
            "genres",
        )
    )

    def __init__(self, options: RollTrainingOptions, iterate: Callable[[Self, Draw], dict[str, Tensor]]) -> None:
        """Raises `UserError` if the device is not available."""
        device, folder = select_device(options.device), options.runs / self.name
        super().__init__(options, self.phases_of(options), device, folder, options.checkpoints)
        self.iterate = partial(iterate, self)
        self.earlier_weights: dict[str, str] = {}  # file name -> hash
        # Hashes of the CVAE that the run begins with, and of those that it was trained from, newest first.
        self.cvae_lineage: list[str] = []

    def phases_of(self, options: RollTrainingOptions) -> list[RollPhase]:
        """A single phase, unless a subclass has more."""
        return [RollPhase(f"T={options.seq_len}", options.epochs, options.seq_len)]

    def open(self) -> None:
        """Open the store. Raises `UserError` if there is none."""
        store = RollStore.open(self.options.store)
        self.store = store.with_shuffled_labels() if self.options.shuffle_labels else store
        self.genres = self.store.genres

    def open_phase(self, phase: RollPhase) -> None:
        """Open the windows of the phase's T. Raises `UserError` if there are fewer than two."""
        self.train_windows = WindowSource(self.store, "train", phase.seq_len, self.device)
        self._moved: tuple[int, WindowSource] | None = None
        self.val_windows = WindowSource(self.store, "val", phase.seq_len, self.device)
        for windows in (self.train_windows, self.val_windows):
            if len(windows) < 2:
                raise UserError(
                    f"{self.store.folder}: the {windows.split} split has {len(windows)} windows of {phase.seq_len} "
                    "frames, but needs at least two; give it more or longer songs"
                )
        genre = self.train_windows.genre_on_host
        options, weights = self.options, torch.ones(len(self.genres))
        self.order = WindowOrder(
            genre, options.batch_size, options.seed, balanced=options.balance == "sampler",
            epoch_windows=options.epoch_windows,
        )  # fmt: skip
        if options.balance == "weights":
            weights = inverse_frequency_weights(genre, len(self.genres))
        self.genre_weights = weights.to(self.device)

    @property
    def n_examples(self) -> int:
        return min(len(self.train_windows), self.options.epoch_windows or len(self.train_windows))

    def examples_of(self, phase: RollPhase) -> int:
        n_windows = len(self.store.windows("train", phase.seq_len)[0])
        return min(n_windows, self.options.epoch_windows or n_windows)

    def train_step(self, position: Position) -> dict[str, Tensor]:
        return self.iterate(Draw(self._windows_of(position.epoch), self.order, self.options, position, self.part))

    def _windows_of(self, epoch: int) -> WindowSource:
        """The training windows as cut in an epoch."""
        windows = self.train_windows
        if not self.options.move_windows:
            return windows
        if self._moved is None or self._moved[0] != epoch:
            rng = rng_at("move", self.options.seed, windows.seq_len, epoch)
            self._moved = epoch, windows.moved(torch.randint(windows.seq_len, (len(windows),), generator=rng))
        return self._moved[1]

    def facts(self, phase: RollPhase) -> dict[str, Any]:
        songs = torch.from_numpy(self.store.song_ids("train"))
        return {
            "seq_len": phase.seq_len,
            "genres": self.genres,
            "condition": self.store.condition,
            "labels": "shuffled" if self.options.shuffle_labels else "given",
            "frames_per_second": self.store.frames_per_second,
            "store_content": self.store.content_hash,
            "trained_on": sha256(songs.numpy().tobytes()).hexdigest()[:HASH_DIGITS],
            "training_songs": songs,
            "cvae_lineage": self.cvae_lineage,
        }

    def identity(self) -> dict[str, Any]:
        return {
            "genres": self.genres,
            "condition": self.store.condition,
            "store_content": self.store.content_hash,
            "earlier_weights": self.earlier_weights,
        }

    def weights_file(self, model: str, phase: Phase, which: str) -> str:
        return pretrained_file(model, which)

    def load_earlier(self, kind: str) -> nn.Module:
        """The best weights of an earlier stage; the hash of the file becomes part of the run's identity.

        Raises `CheckpointError` if the file is missing or was trained on other music, `UserError` for another CVAE.
        """
        file_name = pretrained_file(kind, BEST)
        remedy = f"run {PROGRAMS[kind]} first, or name its folder with --checkpoints"
        path, allow = self.checkpoints / file_name, self.options.allow_other_songs
        trained = load(path, kind, remedy, store=self.store, allow_other_songs=allow)
        self._note_origin(file_name, trained)
        return trained.model

    def load_initial(self, file_name: str, kind: str) -> tuple[nn.Module, list[str]]:
        """The weights of --init-from, for the store's genres, and lines for the log.

        Embeddings of genres follow their names, in any case. Raises `CheckpointError` if the file is missing or
        unusable, `UserError` for another frame rate, architecture or CVAE.
        """
        options, store = self.options, self.store
        if options.init_from.is_file():
            raise UserError(f"{options.init_from}: a file; give its folder, --init-from {options.init_from.parent}")
        path = options.init_from / file_name
        trained = load(path, kind, "name another folder with --init-from")
        network, _ = ARCHITECTURES[kind].get(options.architecture, (trained.model.network, None))
        if trained.model.network != network:
            has_presets = "architecture" in vars(options)
            remedy = "give the --preset of these weights" if has_presets else "name other weights with --init-from"
            raise UserError(f"{path}: of another architecture than {options.architecture}; {remedy}")
        if trained.frames_per_second != store.frames_per_second:
            raise UserError(
                f"{path}: trained at {trained.frames_per_second} frames a second, but {store.folder} has "
                f"{store.frames_per_second}; prepare the store at that rate"
            )
        rows = {folded(name): row for row, name in enumerate(trained.genres)}
        row_of_genre = {name: rows.get(folded(name)) for name in self.genres}
        model, how = adopt(trained.model, list(row_of_genre.values()))
        self._note_origin(f"--init-from {file_name}", trained)
        fates = {"known": [name for name, row in row_of_genre.items() if row is not None]}
        fates["new, the mean of the old"] = [name for name in self.genres if name not in fates["known"]]
        listed = "; ".join(f"{fate}: {', '.join(names)}" for fate, names in fates.items() if names)
        lines = [f"embeddings by {store.condition}: {listed}", fate_line(how)]
        return model, [f"{file_name}: {line}" for line in lines]

    def _note_origin(self, name: str, trained: Trained) -> None:
        """Keep the hash of weights that the run begins with; those of the CVAE come first.

        Raises `UserError` for a generator or critic that was trained with a CVAE from which the run's does not stem.
        """
        self.earlier_weights[name] = trained.sha256
        lineage = trained.facts.get("cvae_lineage", [])  # files from before it was written have none
        if trained.model.kind == "cvae":
            self.cvae_lineage = [trained.sha256, *lineage]
        elif lineage and lineage[0] not in self.cvae_lineage and not self.options.allow_other_cvae:
            raise UserError(
                f"{trained.path}: trained with another CVAE (weights {lineage[0]}) than this run's "
                f"({self.cvae_lineage[0]}); train it again, or accept it with --allow-other-cvae"
            )

    def seed_weights(self, *position: int | str) -> None:
        """Seed torch's rng, so that the initial weights of models built next are a function of (seed, position)."""
        torch.manual_seed(seed_at("weights", self.options.seed, *position))
