"""musicnn in PyTorch: a music tagger, the last hidden layer of which is used as an embedding of a clip's sound.

Architecture: Pons and Serra, *musicnn: Pre-trained convolutional neural networks for music audio tagging*, ISMIR
late-breaking demo 2019. A front end of tall filters (timbre) and long ones (rhythm), three convolutions with skip
connections, pooling over time, one hidden layer of 200 units. The output layer of 50 tags is left out.

The weights are those of the PyPI package musicnn 0.1.0 (ISC licence, released/musicnn/LICENSE), converted from its
TensorFlow checkpoints.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from audio.embedders.embedder import embed_in_batches
from audio.embedders.mel import LogMel
from audio.synthesis import SAMPLE_RATE
from common.errors import UserError
from common.files import HASH_DIGITS

RELEASED = Path(__file__).resolve().parents[2] / "released"
BANDS = 96
PATCH_FRAMES = 187
PATCH_SECONDS = 3
DIMENSION = 200

# musicnn reacts to loudness, which is a property of the synthesiser here, so clips are scaled to one root mean square.
# A clip below SILENCE_RMS (-80 dB of full scale) counts as silence and is not scaled.
CLIP_RMS = 0.1
SILENCE_RMS = 1e-4
PREPROCESSING = f"rms {CLIP_RMS:g}, mean of {PATCH_SECONDS} s patches, v1"  # raise the version if results change
_batch_norm = partial(nn.BatchNorm1d, eps=1e-3)


class FrontEndConv(nn.Module):
    """Convolution over (time, frequency), ReLU, batch norm, maximum over frequency."""

    def __init__(self, filters: int, frames: int, bands: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, (frames, bands))
        self.norm = _batch_norm(filters)
        self.padding = ((frames - 1) // 2, frames // 2)

    def forward(self, log_mel: Tensor) -> Tensor:
        """(B, T, bands) -> (B, filters, T)."""
        padded = F.pad(log_mel, (0, 0, *self.padding))
        # ReLU and batch norm are monotone in each filter, so the maximum can be taken before them, which saves most of
        # their work. Where the factor of batch norm is negative, the maximum is that of the negated convolution.
        sign = torch.where(self.norm.weight < 0, -1.0, 1.0)
        weight, bias = self.conv.weight * sign[:, None, None, None], self.conv.bias * sign
        if padded.device.type == "cpu" and weight.shape[3] > 1:
            largest = largest_over_bands(padded, weight[:, 0]) + bias[:, None]
        else:
            largest = F.conv2d(padded[:, None], weight, bias).amax(3)
        return self.norm(F.relu(sign[:, None] * largest))


def largest_over_bands(x: Tensor, weight: Tensor) -> Tensor:
    """Maximum over the bands (B, filters, T) of a convolution.

    `x`: (B, T + frames - 1, bands), `weight`: (filters, frames, height).
    Over the bands the convolution is a product of spectra. The inverse DFT is a product of matrices that computes only
    the bands without wrap-around: a third to a half of the multiplications. `bands` must be even.
    """
    (filters, frames, height), bands = weight.shape, x.shape[2]
    bins = torch.arange(bands // 2 + 1, dtype=torch.float64)
    angle = 2 * math.pi / bands * torch.outer(bins, torch.arange(bands))
    cos, sin = torch.cos(angle).to(x.dtype), -torch.sin(angle).to(x.dtype)
    inner = slice(1, bands // 2)  # the spectrum of a real signal is real at both ends
    windows = torch.stack([x @ cos.T, x @ sin.T], 2).unfold(1, frames, 1)  # (B, T, 2, bins, frames)
    windows = windows.permute(3, 0, 1, 2, 4).flatten(3).flatten(1, 2)  # (bins, B * T, 2 * frames)
    real, imaginary = (torch.einsum("nth,bh->btn", weight, part[:, :height]) for part in (cos, sin))
    to_real, to_imaginary = torch.cat([real, imaginary], 1), torch.cat([-imaginary, real], 1)  # x times conj(weight)
    spectra = torch.cat([to_real, to_imaginary[inner]])  # (bands, 2 * frames, filters)
    share = torch.full((len(bins), 1), 2 / bands, dtype=x.dtype)
    share[[0, -1]] = 1 / bands
    inverse = torch.cat([cos * share, (sin * share)[inner]])[:, : bands - height + 1].T  # (bands - height + 1, bands)
    largest = [
        (inverse @ torch.bmm(part, spectra).flatten(1)).amax(0)
        # So few frames at a time that their spectra stay in the processor's cache.
        for part in torch.cat([windows, windows[inner]]).split(16, dim=1)
    ]
    return torch.cat(largest).view(len(x), -1, filters).transpose(1, 2)


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
    """Log-mel patch -> last hidden layer."""

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

    def forward(self, log_mel: Tensor) -> Tensor:
        """(B, 187, 96) -> (B, 200)."""
        normed = self.input_norm(log_mel.flatten(1)[:, None]).view_as(log_mel)
        front = torch.cat([conv(normed) for conv in self.front], dim=1)  # (B, 561, T)
        first = self.middle[0](front)
        second = first + self.middle[1](first)
        third = second + self.middle[2](second)
        features = torch.cat([front, first, second, third], dim=1)  # (B, 753, T)
        pooled = torch.stack([features.amax(2), features.mean(2)], dim=2).flatten(1)  # max and mean interleaved
        return self.hidden_norm(F.relu(self.hidden(self.pool_norm(pooled))))


class MusicnnEmbedder:
    """Clips -> last hidden layer of musicnn, averaged over the patches of a clip.

    On a CPU the embedding of a clip does not depend on the other clips; on a GPU it does, in rounding.
    """

    dimension = DIMENSION
    minimum_seconds = PATCH_SECONDS

    def __init__(self, name: str, device: torch.device) -> None:
        """`name`: "MTT_musicnn" or "MSD_musicnn". Raises `UserError` if the weights are missing or damaged."""
        weights, digest = read_weights(name)
        self.name = name
        self.identity = f"{name} {digest}, {PREPROCESSING}"
        self._device = device
        self._log_mel = LogMel(SAMPLE_RATE, fft_size=512, hop=256, bands=BANDS).to(device)
        self._network = Musicnn().eval().to(device)
        self._network.load_state_dict(weights)

    def embed(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Clips of equal length, float32 (samples,) at 16 kHz -> float32 (n, 200). Raises `ValueError` below 3 s."""
        return embed_in_batches(self._embed, clips, self._device, DIMENSION)

    @torch.inference_mode()
    def _embed(self, clips: list[np.ndarray]) -> Tensor:
        audio = torch.from_numpy(np.stack(clips)).to(self._device)
        patches = cut_patches(self._log_mel(normalize_loudness(audio)), patch_count(audio.shape[1]))
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # float32 on a GPU too
            hidden = self._network(patches.flatten(0, 1))
        return hidden.unflatten(0, patches.shape[:2]).mean(1)


def read_weights(name: str) -> tuple[dict[str, Tensor], str]:
    """State dict of a `Musicnn` from released/musicnn, and the first 12 digits of the file's SHA-256.

    Raises `UserError` if the file is missing or does not match released/SHA256SUMS.
    """
    file = f"musicnn/{name}.safetensors"
    expected = dict(reversed(line.split()) for line in (RELEASED / "SHA256SUMS").read_text().splitlines())[file]
    try:
        content = (RELEASED / file).read_bytes()
    except FileNotFoundError:
        content = b""
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        raise UserError(f"{RELEASED / file}: missing or damaged; restore it with git checkout released/musicnn")
    return load(content), digest[:HASH_DIGITS]


def normalize_loudness(audio: Tensor) -> Tensor:
    """Scale each clip of (B, samples) to the root mean square CLIP_RMS; silence is not scaled."""
    rms = audio.square().mean(1, keepdim=True).sqrt()
    return audio * torch.where(rms < SILENCE_RMS, 1.0, CLIP_RMS / rms)


def patch_count(samples: int) -> int:
    """The smallest number of patches of 3 s that cover a clip. Raises `ValueError` below 3 s."""
    if samples < PATCH_SECONDS * SAMPLE_RATE:
        raise ValueError(f"musicnn needs clips of {PATCH_SECONDS} s or more, but got {samples / SAMPLE_RATE:.2f} s")
    return math.ceil(samples / (PATCH_SECONDS * SAMPLE_RATE))


def cut_patches(log_mel: Tensor, count: int) -> Tensor:
    """Cut `count` patches, evenly spaced from the first frame to the last: (B, frames, 96) -> (B, count, 187, 96).

    A patch is half a frame shorter than 3 s, so up to one frame (16 ms) between two patches is in neither.
    """
    starts = np.linspace(0, log_mel.shape[1] - PATCH_FRAMES, count).round().astype(int)
    return torch.stack([log_mel[:, start : start + PATCH_FRAMES] for start in starts], dim=1)
