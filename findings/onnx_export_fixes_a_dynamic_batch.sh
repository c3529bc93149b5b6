#!/bin/sh
# torch.onnx.export of torch 2.13.0 returns a graph for one batch size where torch.export.export refuses the module.
#
# Guess: a module that takes len() of a tensor whose batch is marked dynamic is refused by both, with the same error.
# Observed: torch.export.export raises "You marked batch as dynamic but your code specialized it to be a constant (2)".
# torch.onnx.export with the same dynamic_shapes and verbose=False raises nothing: the graph's input is [2, 3], and
# onnxruntime 1.32.0 refuses a batch of 5. With z.shape[0] in place of len(z) the input is ['batch', 3].
# So a test of an exported model has to use another batch size than the example. Exits with 1 where the behaviour differs.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" \
    torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy
PYTHONPATH=$folder "${PYTHON:-python3}" - <<'CODE'
import contextlib
import io
import logging
import warnings

import onnxruntime
import torch

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")


class Padded(torch.nn.Module):
    def __init__(self, by_len: bool) -> None:
        super().__init__()
        self.by_len = by_len

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.cat([z, z.new_zeros(len(z) if self.by_len else z.shape[0], 1)], 1)


def exported(by_len: bool) -> tuple[str, list]:
    module, example = Padded(by_len).eval(), (torch.zeros(2, 3),)
    shapes = ({0: torch.export.Dim("batch")},)
    try:
        torch.export.export(module, example, dynamic_shapes=shapes)
        by_export = "accepted"
    except Exception as error:
        by_export = "refused" if "specialized it to be a constant (2)" in str(error) else repr(error)
    file = io.BytesIO()
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(module, example, dynamo=True, dynamic_shapes=shapes, verbose=False).save(file)
    return by_export, onnxruntime.InferenceSession(file.getvalue()).get_inputs()[0].shape


observed = {"z.shape[0]": exported(False), "len(z)": exported(True)}
print("torch", torch.__version__, "onnxruntime", onnxruntime.__version__, observed)
raise SystemExit(observed != {"z.shape[0]": ("accepted", ["batch", 3]), "len(z)": ("refused", [2, 3])})
CODE
