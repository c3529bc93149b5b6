"""musicnn, a music tagger whose last hidden layer describes how a clip sounds, in PyTorch.

Architecture: Pons and Serra, *musicnn: Pre-trained convolutional neural networks for music audio tagging*, ISMIR
late-breaking demo 2019. A front end of tall filters (timbre) and long ones (rhythm), three convolutions with skip
connections, pooling over time, one hidden layer of 200 units, 50 tags.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audio.embedders.batches import run_batches
from audio.embedders.mel import LogMel
from audio.embedders.musicnn_weights import read_tag_names, read_weights

SAMPLE_RATE = 16_000
BANDS = 96
PATCH_FRAMES = 187
PATCH_SECONDS = 3
TAGS = 50
DIMENSION = 200

# The network hears loudness, which is the synthesiser's and not the music's: clips are scaled to one root mean square.
# One below SILENCE_RMS (-80 dB of full scale) is silence and stays as it is.
CLIP_RMS = 0.1
SILENCE_RMS = 1e-4
PREPROCESSING = f"rms {CLIP_RMS:g}, mean of {PATCH_SECONDS} s patches, v1"  # change the version with what is computed


def _batch_norm(channels: int) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(channels, eps=1e-3)


class FrontEndConv(nn.Module):
    """Convolution over (time, frequency), ReLU, batch norm, the maximum over frequency."""

    def __init__(self, filters: int, frames: int, bands: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, (frames, bands))
        self.norm = _batch_norm(filters)
        self.padding = ((frames - 1) // 2, frames // 2)

    def forward(self, log_mel: Tensor) -> Tensor:
        """(B, T, bands) -> (B, filters, T)."""
        padded = F.pad(log_mel, (0, 0, *self.padding))[:, None]
        # ReLU and batch norm are monotone in each filter, so the maximum can come first, where it saves most of their
        # work: of the convolution, or of its negative where batch norm has a negative factor.
        sign = torch.where(self.norm.weight < 0, -1.0, 1.0)
        convolved = F.conv2d(padded, self.conv.weight * sign[:, None, None, None], self.conv.bias * sign)
        return self.norm(F.relu(sign[:, None] * convolved.amax(3)))


class MiddleConv(nn.Module):
    """Convolution over 7 frames, ReLU, batch norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, 64, 7, padding=3)
        self.norm = _batch_norm(64)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) -> (B, 64, T)."""
        return self.norm(F.relu(self.conv(x)))


class Musicnn(nn.Module):
    """Log-mel patches -> hidden layer and tags."""

    def __init__(self) -> None:
        super().__init__()
        self.input_norm = _batch_norm(1)
        timbral = [FrontEndConv(204, 7, int(share * BANDS)) for share in (0.4, 0.7)]
        temporal = [FrontEndConv(51, frames, 1) for frames in (128, 64, 32)]
        self.front = nn.ModuleList([*timbral, *temporal])
        self.middle = nn.ModuleList([MiddleConv(561), MiddleConv(64), MiddleConv(64)])
        self.pool_norm = _batch_norm(1506)
        self.hidden = nn.Linear(1506, DIMENSION)
        self.hidden_norm = _batch_norm(DIMENSION)
        self.tags = nn.Linear(DIMENSION, TAGS)

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 187, 96) -> hidden layer (B, 200) and tag probabilities (B, 50)."""
        normed = self.input_norm(log_mel.flatten(1)[:, None]).view_as(log_mel)
        front = torch.cat([conv(normed) for conv in self.front], dim=1)  # (B, 561, T)
        first = self.middle[0](front)
        second = first + self.middle[1](first)
        third = second + self.middle[2](second)
        features = torch.cat([front, first, second, third], dim=1)  # (B, 753, T)
        pooled = torch.stack([features.amax(2), features.mean(2)], dim=2).flatten(1)  # max and mean take turns
        hidden = self.hidden_norm(F.relu(self.hidden(self.pool_norm(pooled))))
        return hidden, torch.sigmoid(self.tags(hidden))


class MusicnnEmbedder:
    """Clips -> the hidden layer of musicnn, averaged over the patches of a clip.

    On a CPU a clip's result does not depend on the clips beside it; on a GPU it does, in rounding.
    """

    dimension = DIMENSION
    minimum_seconds = PATCH_SECONDS

    def __init__(self, name: str, device: torch.device, cache_dir: Path | None = None) -> None:
        """`name`: "MTT_musicnn" or "MSD_musicnn". Raises `UserError` where the weights are missing or damaged."""
        weights, digest = read_weights(name, cache_dir)
        self.name = name
        self.identity = f"{name} {digest}, {PREPROCESSING}"
        self._device = device
        self._log_mel = LogMel(SAMPLE_RATE, fft_size=512, hop=256, bands=BANDS).to(device)
        self._network = Musicnn().eval().to(device)
        self._network.load_state_dict(weights)

    @property
    def tag_names(self) -> list[str]:
        """What the columns of `tag_probabilities` stand for."""
        return read_tag_names(self.name)

    def embed(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Clips of equal length, float32 (samples,) at 16 kHz -> float32 (n, 200). `ValueError` below 3 s."""
        return run_batches(lambda batch: self._run(batch)[0], clips, self._device, DIMENSION)

    def tag_probabilities(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Clips of equal length, float32 (samples,) at 16 kHz -> float32 (n, 50). `ValueError` below 3 s."""
        return run_batches(lambda batch: self._run(batch)[1], clips, self._device, TAGS)

    @torch.inference_mode()
    def _run(self, clips: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Hidden layer (B, 200) and tags (B, 50) of clips."""
        audio = torch.from_numpy(np.stack(clips)).to(self._device)
        patches = cut_patches(self._log_mel(level(audio)), patch_count(audio.shape[1]))
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # float32 on a GPU too
            hidden, tags = self._network(patches.flatten(0, 1))
        return tuple(output.unflatten(0, patches.shape[:2]).mean(1) for output in (hidden, tags))


def level(audio: Tensor) -> Tensor:
    """Scale each clip of (B, samples) to the root mean square CLIP_RMS; silence stays as it is."""
    rms = audio.square().mean(1, keepdim=True).sqrt()
    return audio * torch.where(rms < SILENCE_RMS, 1.0, CLIP_RMS / rms)


def patch_count(samples: int) -> int:
    """The smallest number of patches of 3 s that cover a clip."""
    if samples < PATCH_SECONDS * SAMPLE_RATE:
        raise ValueError(f"musicnn hears {PATCH_SECONDS} s at a time, but a clip has {samples / SAMPLE_RATE:.2f} s")
    return math.ceil(samples / (PATCH_SECONDS * SAMPLE_RATE))


def cut_patches(log_mel: Tensor, count: int) -> Tensor:
    """`count` patches, evenly spaced from the first frame to the last: (B, frames, 96) -> (B, count, 187, 96).

    A patch is half a frame shorter than 3 s, so up to one frame (16 ms) stays between patches; the frames beside it
    overlap it.
    """
    starts = np.linspace(0, log_mel.shape[1] - PATCH_FRAMES, count).round().astype(int)
    return torch.stack([log_mel[:, start : start + PATCH_FRAMES] for start in starts], dim=1)
