"""A small genre classifier of piano rolls, to test whether generated music fits its genre.

It is trained on real training windows only, without short notes, like the clips it is applied to.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from common.errors import UserError
from common.files import save_plain
from common.randomness import seed_at
from data.order import WindowOrder, inverse_frequency_weights
from data.song import PITCHES
from evaluation.options import ClassifierOptions
from evaluation.samples.clips import RealClips
from models import Model
from models.checkpoint import read_checkpoint, weights_content

BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 128, 2e-3, 1e-2
# Validations in a training; the weights of the best are kept.
CHECKS = 6


class GenreClassifier(Model):
    """Convolutions over time with pitches as channels, then mean and maximum over time: takes any T."""

    kind, network = "genre_classifier", "convolutions"

    def __init__(self, n_genres: int, hidden: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, stride in ((PITCHES, 1), (hidden, 2), (hidden, 1)):
            layers += [nn.Conv1d(inputs, hidden, 5, stride, padding=2), nn.BatchNorm1d(hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.5)
        self.genre = nn.Linear(2 * hidden, n_genres)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, roll: Tensor) -> Tensor:
        """Logits (B, n_genres) of rolls (B, 128, T) of 0 and 1."""
        features = self.layers(roll)  # (B, hidden, T / 2)
        pooled = torch.cat([features.mean(2), features.amax(2)], dim=1)
        return self.genre(self.dropout(pooled)) / self.temperature


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier in eval mode; `facts` go into every result row."""

    model: GenreClassifier
    facts: dict[str, Any]


def open_classifier(real: RealClips, options: ClassifierOptions, device: Any = "cpu") -> TrainedClassifier:
    """The classifier for clips like `real`, of a test split: from the cache, or trained on `device` and cached.

    The name of its file has a hash of all that it depends on, including the code of this module. Raises `UserError` for
    another split and without windows of two genres, `CheckpointError` if the cached file is damaged.
    """
    if (split := real.windows.split) != "test":
        raise UserError(f"--split {split}: the classifier was trained on these songs; leave the option out")
    train, val, device = real.of_split("train"), real.of_split("val"), torch.device(device)
    windows = train.windows
    if len(windows.genre.unique()) < 2:
        raise UserError(f"{windows.store.folder}: a classifier needs training songs of at least two genres")
    if not len(val.windows):
        raise UserError(f"{windows.store.folder}: a classifier needs val windows of {windows.seq_len} frames")
    recipe = {
        "code": sha256(Path(__file__).read_bytes()).hexdigest(),
        "store_content": windows.store.content_hash,
        "seq_len": windows.seq_len,
        "min_note_frames": train.min_note_frames,
        "steps": options.classifier_steps,
        "seed": options.classifier_seed,
        "device": device.type,
    }
    identity = sha256(repr(recipe).encode()).hexdigest()[:12]
    path = options.cache / f"genre_classifier_T{windows.seq_len}-{identity}.pth"
    if not path.exists():
        model, facts = train_classifier(train, val, options.classifier_steps, options.classifier_seed, device)
        save_plain(weights_content(model.cpu(), {"classifier": identity, **facts}), path, replace=True)
    content = read_checkpoint(path, "delete it, it is made again")
    model = GenreClassifier(**content["config"])
    model.load_state_dict(content["weights"])
    return TrainedClassifier(model.to(device).eval(), content["facts"])


def train_classifier(
    train: RealClips, val: RealClips, steps: int, seed: int, device: torch.device
) -> tuple[GenreClassifier, dict[str, Any]]:
    """Train on genre-balanced batches of `train`; keep the weights that are best on `val`, and calibrate them there.

    Returns the classifier and facts about its training. Deterministic on the CPU for a given number of threads.
    """
    genre, val_genre = train.windows.genre_on_host, val.windows.genre_on_host
    order = WindowOrder(genre, BATCH_SIZE, seed, balanced=True)
    check_every = -(-steps // CHECKS)
    best: dict[str, Any] = {"accuracy": -1.0}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):  # keep the caller's random state
        torch.manual_seed(seed_at("genre classifier", seed))
        model = GenreClassifier(len(train.windows.store.genres)).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
        title = f"T={train.windows.seq_len} genre classifier"
        for step in tqdm(range(1, steps + 1), title, unit=" steps"):
            epoch, place = divmod(step - 1, -(-len(genre) // BATCH_SIZE))
            index = order.examples(epoch, place * BATCH_SIZE)
            logits = model(torch.from_numpy(train.rolls(index)).float().to(device))
            loss = F.cross_entropy(logits, genre[index].to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % check_every == 0 or step == steps:
                logits = _logits(model, val, device)
                accuracy = float(balanced_accuracy_score(val_genre, logits.argmax(1)))
                if accuracy > best["accuracy"]:
                    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
                    best = {"accuracy": accuracy, "step": step, "weights": weights, "logits": logits}
    model.load_state_dict(best["weights"])
    temperature = calibrated_temperature(best["logits"], val_genre)
    model.temperature.fill_(temperature)
    return model.eval(), {
        "classifier_step": best["step"],
        "classifier_accuracy_val": best["accuracy"],
        "classifier_temperature": temperature,
    }


def calibrated_temperature(logits: Tensor, genre: Tensor) -> float:
    """The divisor of logits (n, n_genres) with the least cross-entropy, genres weighted equally.

    Temperature scaling (Guo et al. 2017, section 4.2), the best of 201 values between 0.1 and 10.
    """
    weight = inverse_frequency_weights(genre, logits.shape[1])
    candidates = torch.logspace(-1, 1, 201)
    losses = torch.stack([F.cross_entropy(logits / candidate, genre, weight=weight) for candidate in candidates])
    return float(candidates[losses.argmin()])


@torch.no_grad()
def _logits(model: GenreClassifier, clips: RealClips, device: torch.device) -> Tensor:
    """Logits (n, n_genres) of all clips, on the CPU; leaves the model in training mode."""
    model.eval()
    batches = torch.arange(len(clips.windows)).split(512)
    logits = [model(torch.from_numpy(clips.rolls(index)).float().to(device)).cpu() for index in batches]
    model.train()
    return torch.cat(logits)
