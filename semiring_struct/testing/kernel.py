"""`check_kernel`: fast twins of a function beside the slow one that is the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct.kernels.dispatch import Twin
from semiring_struct.testing._compare import require

Outcome = tuple[list[Tensor], list[Tensor]]
"""What a call gives: tensors, and gradients of the floating-point arguments that require one."""


def check_kernel(
    reference: Callable[..., Any], twins: Sequence[Twin], cases: Iterable[Sequence[Any]], *, tolerance: float = 1e-9
) -> None:
    """Check every twin against the reference on the argument lists in `cases`.

    A twin that takes a case must give the reference's tensors (shape, dtype, and value within `tolerance` times the
    largest finite value or 1; infinities in the same places, no NaN but where the reference has one), the same
    gradients where the reference gives any, the same bits when called again, and must leave its arguments as they were.
    Every twin must take at least one case, or nothing would have been checked.

    Raises:
        AssertionError: naming the twin, the case and what differs.

    Cost: the reference once, and each twin twice, for every case.
    """
    known = [(tuple(case), _outcome(reference, case)) for case in cases]
    require(bool(known), "check_kernel", "was given no cases")
    for twin in twins:
        taken = 0
        for i, (case, expected) in enumerate(known):
            if twin.refuse(*case) is None:
                taken += 1
                _compare(f"{twin.name}, case {i}", twin.run, case, expected, tolerance)
        require(taken > 0, twin.name, "refuses every case, so nothing was checked")


def _compare(who: str, run: Callable[..., Any], case: Sequence[Any], expected: Outcome, tolerance: float) -> None:
    before = [a.detach().clone() if isinstance(a, Tensor) else a for a in case]
    first, again = _outcome(run, case), _outcome(run, case)
    for a, b in zip(case, before, strict=True):
        require(not isinstance(a, Tensor) or _same_bits(a.detach(), b), who, "changed an argument")
    for what, found, twice, wanted in zip(("answers", "gradients"), first, again, expected, strict=True):
        require(len(found) == len(wanted), who, f"gives {len(found)} {what}, not {len(wanted)}")
        for x, y, z in zip(found, twice, wanted, strict=True):
            require(_same_bits(x, y), who, f"{what} differ from call to call")
            require(x.shape == z.shape and x.dtype == z.dtype, who, f"{what} differ in shape or dtype")
            require(_close(x, z, tolerance), who, f"{what} differ from the reference")


def _outcome(run: Callable[..., Any], case: Sequence[Any]) -> Outcome:
    """The tensors of the answer, and the gradients of the finite part of their sum, where there are any."""
    leaves = [a for a in case if isinstance(a, Tensor) and a.is_floating_point() and a.requires_grad]
    found = _tensors(run(*case))
    linked = [x for x in found if x.requires_grad]
    if not leaves or not linked:
        return [x.detach() for x in found], []
    total = torch.stack([torch.where(x.isfinite(), x, 0.0).sum() for x in linked]).sum()
    grads = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    return [x.detach() for x in found], list(grads)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [x for part in value for x in _tensors(part)] if isinstance(value, tuple | list) else []


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    if not a.is_floating_point():
        return torch.equal(a, b)
    finite = b.isfinite()
    if not _same_bits(a[~finite], b[~finite]) or not bool(a[finite].isfinite().all()):
        return False
    scale = b[finite].abs().amax().clamp(min=1.0) if bool(finite.any()) else 1.0
    return bool(((a[finite] - b[finite]).abs() <= tolerance * scale).all())
