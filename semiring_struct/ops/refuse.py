"""Decisions that look at values: refusing bad ones at the public door, and leaving a loop early."""

from __future__ import annotations

import torch
from torch import Tensor


def refuse_where(bad: Tensor, message: str, error: type[ValueError] = ValueError) -> None:
    """Raise `error(message)`, naming the first bad index, if any entry of the boolean `bad` is True.

    Inside a compiled graph the check becomes an assertion of the graph and raises `RuntimeError` with the message.
    """
    if torch.compiler.is_compiling():
        torch._assert_async(~bad.any(), message)  # pyright: ignore[reportPrivateImportUsage]
    else:
        _Refuse.apply(bad, message, error)


class _Refuse(torch.autograd.Function):
    """The eager check: as a function of autograd's, it is handed the whole batch under `torch.func.vmap`."""

    @staticmethod
    def forward(bad: Tensor, message: str, error: type[ValueError]) -> Tensor:
        found = bad.any()
        if bool(found):
            flat = bad.flatten().int().argmax()
            where = tuple(int(i) for i in torch.unravel_index(flat, bad.shape)) if bad.dim() else ()
            raise error(f"{message} (first at index {where} of {tuple(bad.shape)})" if where else message)
        return found

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor, str, type[ValueError]], output: Tensor) -> None:
        """Nothing to keep: the check has no gradient."""

    @staticmethod
    def vmap(
        info: object, in_dims: tuple[int | None, None, None], bad: Tensor, message: str, error: type[ValueError]
    ) -> tuple[Tensor, None]:
        return _Refuse.apply(bad, message, error), None


def known_all(flags: Tensor) -> bool:
    """Whether every entry of the boolean `flags` is True, to leave a loop whose other turns would change nothing.

    Always False inside a compiled graph, which runs all turns; looks at the whole batch under `torch.func.vmap`.
    """
    return False if torch.compiler.is_compiling() else bool(_All.apply(flags))


class _All(torch.autograd.Function):
    """`all()` as a function of autograd's, which is handed the whole batch under `torch.func.vmap`."""

    @staticmethod
    def forward(flags: Tensor) -> Tensor:
        return flags.all()

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor], output: Tensor) -> None:
        """Nothing to keep: booleans have no gradient."""

    @staticmethod
    def vmap(info: object, in_dims: tuple[int | None], flags: Tensor) -> tuple[Tensor, None]:
        return _All.apply(flags), None
