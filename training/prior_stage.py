"""Training of a CVAE's prior on the latents of whole songs, without its objective, which is in programs/train_prior.py.

Encoder and decoder stay as they are. A prior that has seen windows of 8 seconds alone drifts in pieces of minutes.
"""

import copy
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.device import upload
from common.errors import UserError
from common.randomness import rng_at
from data.windows import draw_semitones, transposed
from models.base import FRAMES_A_SECOND
from models.names import AUTOREGRESSIVE
from models.prior import Posterior
from models.weight_files import hybrid_file, hybrid_path
from training.optimizers import adam
from training.roll_stage import RollPhase, RollStage
from training.stage import Phase, Position

_VALIDATION_BATCH = 256
# Songs are padded to a multiple of so many frames, so that compiled code has few shapes.
_PADDED_TO = 64 * FRAMES_A_SECOND


class Pieces(NamedTuple):
    """B pieces of `seconds` seconds: posterior and `noise` of their latents, (B, seconds * latent), and genre (B,)."""

    posterior: Posterior
    noise: Tensor
    genre: Tensor
    seconds: int


class SongLatents(NamedTuple):
    """Posteriors of the seconds of all songs end to end, float32 (seconds in all, latent) each, on the host.

    `first`: each song's first second; `seconds`: how many it has; `genre`: int64 (songs,) like both.
    """

    mean: Tensor
    log_variance: Tensor
    first: Tensor
    seconds: Tensor
    genre: Tensor

    def pieces(self, song: Tensor, start: Tensor, seconds: int, noise: Tensor, device: torch.device) -> Pieces:
        """The pieces of songs `song`, int64 (B,), from their seconds `start` on."""
        place = (self.first[song] + start)[:, None] + torch.arange(seconds)
        mean, log_variance = (moments[place].flatten(1) for moments in (self.mean, self.log_variance))
        posterior = Posterior(upload(mean, device), upload(log_variance, device))
        return Pieces(posterior, upload(noise, device), upload(self.genre[song], device), seconds)


class PriorStage(RollStage):
    """The prior of the CVAE in `init_from`. An example is a piece of a song; the pieces of a step have one length."""

    name, examples = "prior", "pieces"
    best_by = {"cvae": "kl"}
    averaged = ("cvae",)

    def open(self) -> None:
        super().open()
        path = hybrid_path(self.options.init_from, "cvae", self.options.seq_len)
        if self.checkpoints.resolve() == self.options.init_from.resolve():
            raise UserError(f"{path}: this training would overwrite it; name another folder with --checkpoints")
        cvae, self.initial_log = self.load_initial(path.name, "cvae")
        if cvae.config["prior"] != AUTOREGRESSIVE:
            raise UserError(f"{path}: its prior is N(0, I), which has nothing to learn; give other weights")
        self.cvae = cvae.to(self.device).eval()
        self.first_prior = copy.deepcopy(self.cvae.prior)

    def open_phase(self, phase: RollPhase) -> None:
        """Encode the validation songs. Raises `UserError` if no song is as long as the shortest piece."""
        longest = [max((song.n_frames for song in self.store.songs if song.split == split), default=0)
                   for split in ("train", "val")]  # fmt: skip
        # A song that is cut at a random frame loses a second.
        self.lengths = [n for n in self.options.piece_seconds if (n + 1) * FRAMES_A_SECOND <= min(longest)]
        if not self.lengths:
            raise UserError(
                f"{self.store.folder}: the longest songs of the train and val splits have {longest[0]} and "
                f"{longest[1]} frames, too few for {min(self.options.piece_seconds)} s; give shorter --piece-seconds"
            )
        self._train: tuple[int, SongLatents] | None = None
        self.val_songs = self._encoded("val")

    @property
    def n_examples(self) -> int:
        return self.options.epoch_windows

    def examples_of(self, phase: RollPhase) -> int:
        return self.options.epoch_windows

    def build_models(self, phase: RollPhase) -> list[str]:
        self.models = {"cvae": self.cvae}
        return ["best by: KL divergence a second, mean over genres and lengths", *self.initial_log]

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"cvae": adam(list(self.models["cvae"].prior.parameters()), self.options.learning_rate)}

    @torch.no_grad()
    def finished_models(self) -> dict[str, nn.Module]:
        """The CVAE, with the mean of the prior's weights before and after training (Wortsman et al. 2022)."""
        cvae = copy.deepcopy(super().finished_models()["cvae"])
        for weight, first in zip(cvae.prior.parameters(), self.first_prior.parameters(), strict=True):
            weight.lerp_(first, 1 - self.options.share)
        return {"cvae": cvae}

    def train_step(self, position: Position) -> dict[str, Tensor]:
        if self._train is None or self._train[0] != position.epoch:
            self._train = position.epoch, self._encoded("train", position.epoch)
        songs, options = self._train[1], self.options
        rng = rng_at("pieces", options.seed, position.epoch, position.example)
        seconds = self.lengths[int(torch.randint(len(self.lengths), (1,), generator=rng))]
        n = min(options.batch_size, self.n_examples - position.example)
        # Genres are drawn equally often, and the songs of one by their lengths.
        weight = songs.seconds.double() * (songs.seconds >= seconds)
        weight /= torch.zeros(len(self.genres)).double().index_add(0, songs.genre, weight).clamp_min(1)[songs.genre]
        song = torch.multinomial(weight, n, replacement=True, generator=rng)
        start = (torch.rand(n, generator=rng) * (songs.seconds[song] - seconds + 1)).long()
        noise = torch.randn(n, seconds * self.cvae.latent, generator=rng)
        rows = self.part.rows
        return self.iterate(songs.pieces(song[rows], start[rows], seconds, noise[rows], self.device))

    @torch.no_grad()
    def _encoded(self, split: str, epoch: int | None = None) -> SongLatents:
        """The latents of all songs of two seconds or more; in an epoch, transposed and cut as the options say."""
        options, shortest = self.options, 2 * FRAMES_A_SECOND
        chosen = [song for song in self.store.songs if song.split == split and song.n_frames >= shortest]
        rng = rng_at("songs", options.seed, epoch or 0)
        semitones = draw_semitones(len(chosen), rng) * (options.transpose and epoch is not None)
        moved = torch.randint(FRAMES_A_SECOND, (len(chosen),), generator=rng)
        moved *= options.move_windows and epoch is not None
        moments = []
        for song, shift, cut in zip(chosen, semitones, moved.tolist(), strict=True):
            frames = self.store.frames[song.frame_offset + cut : song.frame_offset + song.n_frames]
            roll = upload(torch.from_numpy(np.unpackbits(frames, axis=1)), self.device).float().T[None]
            n_seconds = roll.shape[2] // FRAMES_A_SECOND
            roll = F.pad(transposed(roll, shift[None].to(self.device)), (0, -roll.shape[2] % _PADDED_TO))
            genre = self.cvae.genre(torch.tensor([song.genre_id], device=self.device))
            moments.append([of_song[0, :n_seconds].cpu() for of_song in self.cvae.encoder(roll, genre)])
        seconds = torch.tensor([len(mean) for mean, _ in moments])
        genre = torch.tensor([song.genre_id for song in chosen])
        return SongLatents(*map(torch.cat, zip(*moments, strict=True)), seconds.cumsum(0) - seconds, seconds, genre)

    @torch.no_grad()
    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        """KL(q || p) a second in nats, of the validation songs in pieces of each length; same noise every time."""
        found = {}
        for seconds in self.lengths:
            counts = self.val_songs.seconds // seconds
            song = torch.arange(len(counts)).repeat_interleave(counts)
            start = (torch.arange(len(song)) - (counts.cumsum(0) - counts)[song]) * seconds
            noise = torch.randn(len(song), seconds * self.cvae.latent, generator=rng_at("validation", seconds))
            kl = []
            for part in torch.arange(len(song)).split(_VALIDATION_BATCH):
                pieces = self.val_songs.pieces(song[part], start[part], seconds, noise[part], self.device)
                kl.append(kl_of(models["cvae"], pieces))
            genre, each = self.val_songs.genre[song], torch.cat(kl).cpu()
            found[f"kl_{seconds}s"] = float(torch.stack([each[genre == one].mean() for one in genre.unique()]).mean())
        return {"kl": sum(found.values()) / len(found), **found}

    def weights_file(self, model: str, phase: Phase, which: str) -> str:
        return hybrid_file(model, self.options.seq_len, which)


def kl_of(cvae: nn.Module, pieces: Pieces) -> Tensor:
    """KL(q || p(z | y)) a second in nats, (B,), at one sample of z."""
    z = pieces.posterior.sample(pieces.noise)
    return cvae.prior.kl(pieces.posterior, z, pieces.genre).sum(1) / pieces.seconds
