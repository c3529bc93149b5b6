"""The processes that train together, as `torchrun` starts them; without it, a single one.

Each process takes its rows of every batch. Sums over the processes make the gradient of the whole batch, so that N
processes train as one does, up to the order of summation.
"""

import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from common.torchrun import process_group

_SECONDS_TO_APPEAR = 5.0  # of a new file, on other machines


class Part(NamedTuple):
    """The rows of a batch of `n` that a process takes, and their share `weight` of the batch.

    With fewer rows than processes, some take a row of weight 0, so that all do the same steps.
    """

    rows: slice
    weight: float
    n: int

    @property
    def n_rows(self) -> int:
        return len(range(self.n)[self.rows])


WHOLE = Part(slice(None), 1.0, 0)  # of a batch of any size


@dataclass(frozen=True)
class Ranks:
    """All methods but `part` are collective: every process calls them at the same place.

    A single process computes nothing.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def part(self, n: int) -> Part:
        """Every `size`-th of n rows, so that the processes share the first rows of a batch as they share all rows."""
        if self.rank >= n:
            return Part(slice(0, 1), 0.0, n)
        rows = slice(self.rank, n, self.size)
        return Part(rows, len(range(n)[rows]) / n, n)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, without gradient."""
        if self.size == 1:
            return tensor
        total = tensor.detach().clone()
        torch.distributed.all_reduce(total)
        return total

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace each gradient by its sum over the processes, in one reduction."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        total = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = total.split([gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view_as(each) for part, each in zip(parts, gradients, strict=True)])

    def gather(self, rows: Tensor, part: Part) -> Tensor:
        """The rows (n, ...) of all processes, in the order of the batch, with gradient."""
        return rows if self.size == 1 else _Gather.apply(rows, part, self)

    def broadcast(self, models: Iterable[nn.Module]) -> None:
        """Give all processes the weights of the first."""
        if self.size > 1:
            for model in models:
                for tensor in model.state_dict().values():
                    torch.distributed.broadcast(tensor, 0)

    def maximum(self, *values: int) -> list[int]:
        """The largest of the processes' values, one by one."""
        return list(values) if self.size == 1 else self.all_gather(torch.tensor(values)).amax(0).tolist()

    def all_equal(self, *values: int) -> bool:
        """Whether all processes have the same values."""
        return self.maximum(*values) == [-value for value in self.maximum(*(-value for value in values))]

    def is_shared(self, folder: Path) -> bool:
        """Whether `folder` is the same one for all processes: all see a file that the first one makes there."""
        if self.size == 1:
            return True
        (number,) = self.maximum(secrets.randbits(60) if self.first else 0)
        probe = folder / f".shared-{number:x}"
        with self.together():
            if self.first:
                probe.touch()
        last_look = time.monotonic() + _SECONDS_TO_APPEAR
        while not (is_there := probe.exists()) and time.monotonic() < last_look:
            time.sleep(0.1)
        all_see_it = self.maximum(not is_there) == [0]
        if self.first:
            probe.unlink()
        return all_see_it

    def all_gather(self, tensor: Tensor) -> Tensor:
        """The tensors, of one shape, of all processes: (size, ...)."""
        every = [torch.empty_like(tensor) for _ in range(self.size)]
        torch.distributed.all_gather(every, tensor.contiguous())
        return torch.stack(every)

    @contextmanager
    def together(self) -> Iterator[None]:
        """If the block fails in a process, it fails in all. The first of those raises, the others exit in silence.

        The block itself must not be collective.
        """
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            if self.size == 1:
                raise
            failure = error
        if self.size == 1:
            return
        failed = self.all_gather(torch.tensor([failure is not None]))[:, 0].tolist()
        if any(failed):
            raise failure if failure and failed.index(True) == self.rank else SystemExit(1)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, part: Part, ranks: Ranks) -> Tensor:
        ctx.part, ctx.ranks, ctx.n_rows = part, ranks, len(rows)
        padded = rows.new_zeros(-(-part.n // ranks.size), *rows.shape[1:])
        padded[: len(rows)] = rows
        return ranks.all_gather(padded).transpose(0, 1).flatten(0, 1)[: part.n]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        own = ctx.ranks.sum(gradient.contiguous())[ctx.part.rows]
        return own * bool(ctx.part.weight), None, None


@contextmanager
def opened_ranks() -> Iterator[Ranks]:
    """The processes of `torchrun`, if it has started this one, otherwise a single process.

    Host tensors are exchanged by gloo, those of a GPU by NCCL.
    """
    with process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo") as (rank, size):
        yield Ranks(rank, size)
