"""The meta device in place of a GPU: it has shapes alone, so what mixes devices or waits for one can be found."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")
# Their result or its shape depends on the values of a tensor, so that the host would have to wait.
WAITS = {"_local_scalar_dense", "nonzero", "bincount", "masked_select", "unique_dim", "_unique2", "repeat_interleave"}


class OneDevice(TorchDispatchMode):
    """Rejects operations that wait for the device or mix devices, except with scalars on the host; counts copies."""

    copies = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        tensors = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, Tensor)]
        others = [tensor for tensor in tensors if tensor.device != META and tensor.ndim > 0]
        is_copy = operation.overloadpacket.__name__ in ("_to_copy", "copy_")
        if not is_copy and any(tensor.device == META for tensor in tensors):
            waits = operation.overloadpacket.__name__ in WAITS and "output_size" not in (options or {})
            assert not waits, f"{operation} waits for the device"
            assert not others, f"{operation} mixes {META} and {[tensor.device for tensor in others]}"
        result = operation(*arguments, **(options or {}))
        self.copies += is_copy and bool(others) and result.device == META
        return result
