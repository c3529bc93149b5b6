"""Randomness as a function of (seed, position): a resumed run draws what an uninterrupted one would have drawn."""

import hashlib

import torch


def seed_at(*position: int | str) -> int:
    """A seed in [0, 2^63) that depends on `position` alone, for example ("weights", seed, "cvae")."""
    digest = hashlib.sha256(repr(position).encode()).digest()
    return int.from_bytes(digest[:8], "big") & (2**63 - 1)


def rng_at(*position: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose numbers depend on `position` alone, for example ("noise", seed, T, step)."""
    return torch.Generator(device).manual_seed(seed_at(*position))
