"""Metrics of reconstruction, of disentanglement and of independence, as functions of arrays.

A metric is NaN if the data do not define it: an attribute that never varies, too few rows, nothing to compare with. A
constant latent dimension is defined: it carries no information and scores 0.
"""
