"""The grid of runs, and what they say to the study's claims."""
