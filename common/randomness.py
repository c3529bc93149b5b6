"""Randomness as a function of seed and position, so that a resumed run repeats the draws of an uninterrupted one."""

import hashlib

import torch


def seed_at(*position: int | str) -> int:
    """Return a seed in [0, 2^63) that depends on `position` only, for example ("weights", seed, "cvae")."""
    digest = hashlib.sha256(repr(position).encode()).digest()
    return int.from_bytes(digest[:8], "big") & (2**63 - 1)


def rng_at(*position: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator seeded by `position`, for example ("noise", seed, T, step)."""
    return torch.Generator(device).manual_seed(seed_at(*position))
