"""The meta device in place of a GPU: it has shapes alone, so what mixes devices or waits for one can be found."""

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.meta_stages import META

# Their result or its shape depends on the values of a tensor, so that the host would have to wait.
WAITS = {"_local_scalar_dense", "nonzero", "bincount", "masked_select", "unique_dim", "_unique2", "repeat_interleave"}


class OneDevice(TorchDispatchMode):
    """Rejects operations that wait for the device or mix devices, except with scalars on the host; counts copies.

    A copy to the device must be asynchronous.
    """

    copies = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        name, options = operation.overloadpacket.__name__, options or {}
        tensors = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, Tensor)]
        others = [tensor for tensor in tensors if tensor.device != META and tensor.ndim > 0]
        is_copy = name in ("_to_copy", "copy_")
        if any(tensor.device == META for tensor in tensors):
            assert name not in WAITS or "output_size" in options, f"{operation} waits for the device"
            assert is_copy or not others, f"{operation} mixes {META} and {[tensor.device for tensor in others]}"
        result = operation(*arguments, **options)
        if is_copy and others and result.device == META:
            assert options.get("non_blocking"), f"{operation} waits for a copy of {others[0].shape}"
            self.copies += 1
        return result
