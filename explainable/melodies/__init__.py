"""Melodies out of files: notes in quarters, and why one cannot be used."""
