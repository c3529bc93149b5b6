"""How well a model of measures reconstructs, and how well its latent space is ordered by musical attributes.

All of it works on arrays, whatever model they come from. Where the data give no honest figure (an attribute that never
varies, too few rows, nothing to compare with) the figure is NaN. A latent dimension that never varies is no such case:
it says nothing of any attribute, and scores 0.
"""
