"""The Audio Spectrogram Transformer (AST) as an embedder, as in the report.

Gong, Chung and Glass, *AST: Audio Spectrogram Transformer*, Interspeech 2021; weights trained on AudioSet.
"""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError
from torch import Tensor
from transformers import ASTFeatureExtractor, ASTModel
from transformers.utils import is_speech_available, logging

from audio.embedders.embedder import embed_in_batches
from audio.synthesis import SAMPLE_RATE
from common.errors import UserError
from common.files import HASH_DIGITS, hash_of_file

MODEL = "MIT/ast-finetuned-audioset-10-10-0.4593"
FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
REMEDY = (
    f"get them on a machine with a network by `hf download {MODEL} {' '.join(FILES)} --local-dir ast` and name "
    "that folder, or use MTT_musicnn or MSD_musicnn, which need no download"
)


class SpectrogramTransformerEmbedder:
    """Clips -> mean over the tokens of AST's last hidden state.

    The feature extractor pads clips to 10.24 s and the mean includes the padding, so embeddings of clips of different
    length do not compare. On a CPU the embedding of a clip does not depend on the other clips; on a GPU, which computes
    in bfloat16, it does, in rounding.
    """

    name = "ast"
    minimum_seconds = 0

    def __init__(self, folder: Path | None, device: torch.device) -> None:
        """`folder` holds `FILES`; by default they are looked up in the Hugging Face cache. Raises `UserError`."""
        if folder is None:
            try:
                folder = Path(snapshot_download(MODEL, local_files_only=True))
            except LocalEntryNotFoundError as error:
                raise UserError(f"the weights of AST are not in the Hugging Face cache; {REMEDY}") from error
        if missing := [name for name in FILES if not (folder / name).is_file()]:
            raise UserError(f"{folder}: has no weights of AST ({', '.join(missing)} missing); {REMEDY}")
        try:
            with _quiet():
                self._features = ASTFeatureExtractor.from_pretrained(folder, local_files_only=True)
                self._network = _load_network(folder).to(device)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{folder}: not usable weights of AST ({reason}); {REMEDY}") from error
        self.dimension: int = self._network.config.hidden_size
        precision = "bfloat16" if device.type == "cuda" else "float32"
        filters = "torchaudio" if is_speech_available() else "numpy"  # the feature extractor uses one of the two
        hashes = b"".join(bytes.fromhex(hash_of_file(folder / name, 64)) for name in FILES)
        digest = hashlib.sha256(hashes).hexdigest()[:HASH_DIGITS]
        self.identity = f"ast {digest}, {filters} features, {precision}, mean of tokens, v1"
        self._device = device

    def embed(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Clips of equal length, float32 (samples,) at 16 kHz -> float32 (n, dimension)."""
        return embed_in_batches(self._embed, clips, self._device, self.dimension)

    @torch.inference_mode()
    def _embed(self, clips: list[np.ndarray]) -> Tensor:
        features: Tensor = self._features(clips, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_values
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            hidden = self._network(features.to(self._device)).last_hidden_state  # (B, tokens, dimension)
        return hidden.float().mean(1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' progress bar and its warnings about the unused classifier."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _load_network(folder: Path) -> ASTModel:
    """Load the network; raises `ValueError` for missing weights, which transformers would initialise at random."""
    network, info = ASTModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=torch.float32
    )
    if info["missing_keys"]:
        raise ValueError(f"no values for {min(info['missing_keys'])}")
    return network.eval()
