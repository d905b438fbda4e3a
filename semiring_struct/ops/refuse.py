"""Decisions that look at values: refusing bad ones at the public door, and leaving a loop early."""

from __future__ import annotations

import torch
from torch import Tensor

from semiring_struct.ops.operators import operator


def refuse_where(bad: Tensor, message: str, error: type[ValueError] = ValueError) -> None:
    """Raise `error(message)`, naming the first bad index, if any entry of the boolean `bad` is True.

    Inside a compiled graph the check becomes an assertion of the graph and raises `RuntimeError` with the message.
    """
    if torch.compiler.is_compiling():
        torch._assert_async(_all(~bad), message)  # pyright: ignore[reportPrivateImportUsage]
        return
    found = _first(bad)
    if len(found):
        index, shape = (tuple(int(i) for i in x) for x in found[0])
        raise error(f"{message} (first at index {index} of {shape})" if index else message)


def first_index(flags: Tensor) -> tuple[int, ...] | None:
    """The index of the first True entry, that of the whole batch under `torch.func.vmap`; None where there is none.

    Not for compiled graphs, which cannot look.
    """
    found = _first(flags)
    return tuple(int(i) for i in found[0, 0]) if len(found) else None


def shown(size: int) -> int | str:
    """A size for a message. In a compiled graph it may be a symbol, which being written out would bind to a number."""
    return "<size>" if torch.compiler.is_compiling() else size


def known_all(flags: Tensor) -> bool:
    """Whether every entry of the boolean `flags` is True, to leave a loop whose other turns would change nothing.

    Always False inside a compiled graph, which runs all turns; looks at the whole batch under `torch.func.vmap`.
    """
    return False if torch.compiler.is_compiling() else bool(_all(flags))


# operators are handed the whole batch under `torch.func.vmap`, as an `autograd.Function` is, and take less time


@operator("first")
def _first(flags: Tensor) -> Tensor:
    """Index and shape of the first True entry, `(1, 2, dims)`; `(0, 2, dims)` where there is none."""
    if not bool(flags.any()):
        return torch.empty((0, 2, flags.dim()), dtype=torch.int64, device="cpu")
    index = torch.unravel_index(flags.flatten().int().argmax(), flags.shape) if flags.dim() else ()
    found = [[int(i) for i in index], list(flags.shape)]
    return torch.tensor([found], dtype=torch.int64, device="cpu").reshape(1, 2, flags.dim())


@operator("all")
def _all(flags: Tensor) -> Tensor:
    return flags.all()


@torch.library.register_fake(_all)
def _(flags):
    return flags.new_empty(())


torch.library.register_vmap(_first, lambda info, in_dims, flags: (_first(flags), None))
torch.library.register_vmap(_all, lambda info, in_dims, flags: (_all(flags), None))
