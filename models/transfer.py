"""Trained weights in a new model: for other genres, another prior or a longer T."""

from torch import nn

from .base import Model


def adopt(source: Model, n_genres: int, *, same_genres: bool, prior: str | None = None) -> tuple[Model, dict[str, str]]:
    """A copy of `source` for `n_genres` genres, and for each tensor "kept" or "new".

    Without `same_genres` the genre embeddings are new, all equal to the mean of the old ones. With another `prior` all
    tensors of the prior are new.
    """
    changes = {"n_genres": n_genres} | ({"prior": prior} if prior else {})
    target = type(source)(**{**source.config, **changes})
    weights, new = source.state_dict(), set()
    if not same_genres:
        new = {
            f"{name}.weight" for name, module in target.named_modules()
            if name.rpartition(".")[2] == "genre" and isinstance(module, nn.Embedding)
        }  # fmt: skip
        for name in new:
            weights[name] = weights[name].mean(0, keepdim=True).expand(n_genres, -1)
    if prior not in (None, source.config.get("prior")):
        of_prior = {name: tensor for name, tensor in target.state_dict().items() if name.startswith("prior.")}
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("prior.")} | of_prior
        new |= set(of_prior)
    target.load_state_dict(weights, strict=True)
    return target, {name: "new" if name in new else "kept" for name in weights}


def carry_over(source: Model, target: Model) -> dict[str, str]:
    """Copy the weights of `source` into `target`, the same network with the same sizes for the same or a longer T.

    Returns for each tensor "kept" (copied) or "grown" (computed for the longer T).
    Raises ValueError where the two differ in more than T, or the longer T is not a multiple.
    """
    if type(source) is not type(target):
        raise ValueError(f"cannot carry a {source.kind} over from {source.network} to {target.network}")
    differences = {
        name: (source.config[name], value) for name, value in target.config.items() if source.config[name] != value
    }
    old, new = differences.pop("seq_len", (1, 1))
    if differences:
        listed = ", ".join(f"{name} {was} and {now}" for name, (was, now) in differences.items())
        raise ValueError(f"cannot carry a {source.kind} over: {listed}")
    if new % old:
        raise ValueError(f"cannot carry a {source.kind} over from T={old} to T={new}: not a multiple")
    grown = set() if old == new else set(target.grown_tensors)
    kept = {name: tensor for name, tensor in source.state_dict().items() if name not in grown}
    target.load_state_dict({**target.state_dict(), **kept}, strict=True)
    if grown:
        target.grow_from(source)
    return {name: "grown" if name in grown else "kept" for name in target.state_dict()}
