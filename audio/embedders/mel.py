"""Audio -> log-mel spectrogram as musicnn was trained on (Slaney's filters), batched, in torch."""

import math

import torch
from torch import Tensor, nn

# Slaney's mel scale (*Auditory Toolbox*, Technical Report 1998-010): linear below 1 kHz; above, 27 steps for a factor
# of 6.4.
HZ_PER_MEL = 200 / 3
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / HZ_PER_MEL
LOG_STEP = math.log(6.4) / 27


def mel_filters(sample_rate: int, fft_size: int, bands: int) -> Tensor:
    """Triangles of equal area, evenly spaced in mel from 0 Hz to half the sample rate: float32 (bands, bins)."""
    highest = BREAK_MEL + math.log(sample_rate / 2 / BREAK_HZ) / LOG_STEP
    mel = torch.linspace(0, highest, bands + 2, dtype=torch.float64)[:, None]
    corners = torch.where(mel < BREAK_MEL, mel * HZ_PER_MEL, BREAK_HZ * torch.exp((mel - BREAK_MEL) * LOG_STEP))
    hz = torch.linspace(0, sample_rate / 2, fft_size // 2 + 1, dtype=torch.float64)
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    triangles = torch.minimum((hz - low) / (centre - low), (high - hz) / (high - centre)).clamp(min=0)
    return (triangles * 2 / (high - low)).float()


class LogMel(nn.Module):
    """Power spectrogram (periodic Hann window, reflected ends) -> mel bands -> log10(10000 x + 1)."""

    def __init__(self, sample_rate: int, fft_size: int, hop: int, bands: int) -> None:
        super().__init__()
        self.fft_size, self.hop = fft_size, hop
        self.register_buffer("window", torch.hann_window(fft_size), persistent=False)
        self.register_buffer("filters", mel_filters(sample_rate, fft_size, bands), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """(B, samples) -> (B, 1 + samples // hop, bands), float32."""
        spectrum = torch.stft(audio, self.fft_size, self.hop, window=self.window, return_complex=True)
        mel = self.filters @ spectrum.abs().square()  # (B, bands, frames)
        return torch.log10(10000 * mel + 1).transpose(1, 2)
