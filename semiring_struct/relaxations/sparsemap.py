"""SparseMAP: the projection of potentials onto the convex hull of events."""

from __future__ import annotations

from typing import Any

from semiring_struct.inference.projection import project
from semiring_struct.structures import Structure
from semiring_struct.types import SparseMAP


def sparsemap(
    structure: Structure, log_potentials: Any, lengths: Any = None, *, curvature: Any = 1.0,
    start: SparseMAP | None = None, iterations: int = 1000, tolerance: float = 1e-9,
) -> SparseMAP:  # fmt: skip
    r"""The nearest point of the convex hull of events: a soft event that averages few events.

    .. math:: \operatorname*{argmax}_{x \in \operatorname{conv}(\text{events})}
              \langle \phi, x \rangle - \tfrac12 \textstyle\sum_i c_i x_i^2

    One coordinate per part: a bit of `BitVector` is `clip(phi, 0, 1)`, an option of `OneOf` is `sparsemax(phi)`.
    `curvature` are the `c_i >= 0`: 1 for the projection, a number `t` for `sparsemap` of `phi / t`, and one entry per
    field (numbers, or tensors that broadcast) to leave parts out: `curvature=(1.0, 0.0)` bends the emissions of a chain
    and leaves its transitions linear. Bits of two states, scored `phi` and 0, both squared, are `phi + 1` with
    curvature 2. A budget is a structure: `Subset(at_most=B)`.

    Bias: a soft event; at low temperature (`phi / t`) it becomes the argmax. Needs: `argmax`. Does not need: a
    partition function.

    `start`: an earlier answer for potentials of the same shapes, to begin from. `iterations` and `tolerance` stop the
    search; `gap` says how far it came. At most one event more than the dims of the polytope has weight.

    Gradients: `mean` moves along the face of the events that tie, `weights` on the events they belong to. Both are
    piecewise linear, so second derivatives are 0. The mean is unique; which events average to it often is not, and a
    sum over events (`<weights, losses>`) has then several values.

    Raises `InfeasibleError` where an instance has no structure. Cost: an `argmax` of the whole batch for each event
    that enters (about twice the support), and two more for the gradient of the mean. In float64 inside.

    Source: Niculae et al. 2018, sec. 3 [niculae2018]; Correia et al. 2020, sec. 4.2 [correia2020].
    """
    return project(
        structure, log_potentials, lengths, curvature=curvature, start=start, iterations=iterations, tolerance=tolerance
    )
