"""Names that options, networks and weights files share, without torch."""

PAPER, PAPER_512, LARGE = "paper", "paper-512", "large"  # architectures
STANDARD_NORMAL, AUTOREGRESSIVE = PRIORS = ("standard-normal", "autoregressive")
# First term of L_ELBO: -log p(X | z, y) in nats, or the squared error of the cells' probabilities.
NLL, SQUARED_ERROR = RECONSTRUCTIONS = ("nll", "squared-error")
# Of log-likelihoods, for calibrated probabilities of genres by released/large at T = 128: see `Tempering`.
DIVISOR, GROWTH = 6.03, 0.825
# Folders of trained weights by preset.
FOLDERS = {PAPER: "checkpoints", LARGE: "checkpoints/large"}
MEASURE_VAE, ADVERSARIAL_VAE, ATTRIBUTE_VAE = "measure_vae", "adversarial_vae", "attribute_vae"  # networks of the study
