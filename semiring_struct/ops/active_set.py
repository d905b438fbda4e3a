"""The point of a polytope that is best for a concave quadratic, when only the best vertex of a direction is known.

All instances of a batch step together; nothing here knows what the vertices stand for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from semiring_struct.types import storable

Oracle = Callable[[Tensor], Tensor]
"""Directions `(B, d)` -> a vertex `(B, d)` that is best in each."""

_NO_WEIGHT = 1e-12
_DEPENDENT = 1e-9
_TILT = 1e-6


@storable
class ActiveSet(NamedTuple):
    """Vertices and convex weights of a point: `atoms (B, s, d)`, `weights (B, s)`, `active (B, s)`, `gap (B,)`.

    A slot that is not active has weight 0. The active atoms are affinely independent, so at most `d + 1`.
    """

    atoms: Tensor
    weights: Tensor
    active: Tensor
    gap: Tensor

    @property
    def mean(self) -> Tensor:
        """The point itself, `(B, d)`."""
        return _combine(self.weights, self.atoms)


def active_set(
    target: Tensor,
    curvature: Tensor,
    oracle: Oracle,
    start: tuple[Tensor, Tensor] | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-9,
) -> ActiveSet:
    """Maximise `<target, x> - 1/2 sum_i curvature_i x_i^2` over the convex hull of the vertices that `oracle` knows.

    Shape: `target (B, d)` finite, `curvature (B, d)` or broadcasting to it, >= 0; `start`: atoms `(B, s, d)` and
    weights `(B, s)` to begin from. An instance is done when its duality gap, `<slope, best vertex - x>`, is at most
    `tolerance`, or when float64 allows no further step. No gradients: see `hull_weights`.

    Cost: a call of the oracle for each vertex that enters, and a Cholesky factor of the active atoms for each that
    enters or leaves. Wolfe's algorithm, with the exchange of vertices that are equal in all curved coordinates.
    Source: Niculae et al. 2018, sec. 3.2 [niculae2018]; Nocedal & Wright 2006, sec. 16.5 [nocedal2006].
    """
    with torch.no_grad():
        search = _Search(target, curvature)
        if start is None:
            search.begin(oracle(target))
        else:
            search.resume(*start)
        done = torch.zeros(target.shape[:1], dtype=torch.bool, device=target.device)
        for left in range(iterations, -1, -1):
            mean = _combine(search.weights, search.atoms)
            slope = target - curvature * mean
            vertex = oracle(slope)
            gap = (slope * (vertex - mean)).sum(-1)
            done = done | (gap <= tolerance)
            if left == 0 or bool(done.all()):
                break
            done = done | search.improve(vertex, ~done)
        return ActiveSet(search.atoms, search.weights, search.active, gap)


def hull_weights(target: Tensor, curvature: Tensor, atoms: Tensor, active: Tensor) -> Tensor:
    """Weights `(B, s)`, summing to 1 over the active atoms, of the best point of their affine hull.

    A closed form, differentiable to any order in `target` and `curvature`; a slot that is not active has weight 0. With
    the atoms of a solution these are its weights.
    """
    linear = torch.einsum("bsd,bd->bs", atoms, target)
    gram = torch.einsum("bsd,btd->bst", atoms * curvature.unsqueeze(-2), atoms)
    return _affine(lambda rhs: torch.linalg.solve(_system(gram, active), rhs), linear, active, 1.0)


def tight_atoms(found: ActiveSet, target: Tensor, curvature: Tensor, oracle: Oracle) -> tuple[Tensor, Tensor]:
    """The atoms of a solution and as many other best vertices as are affinely independent: `(B, s, d)`, `(B, s)`.

    Where several vertices tie, the support says less than the face that they span, and it is along the whole face that
    the solution moves with `target`. Two calls of the oracle show that nothing ties; each vertex more costs at most
    two. Directions are drawn from a generator of its own.
    """
    with torch.no_grad():
        search = _Search(target, curvature)
        search.take(found.atoms, found.weights, found.active)
        slope = target - curvature * found.mean
        scale = 1 + (slope * found.mean).abs().sum(-1)  # what no vertex uses may hold anything
        generator = torch.Generator(target.device).manual_seed(0)
        for _ in range(target.shape[-1]):
            aim = torch.randn(target.shape[-1], generator=generator, dtype=target.dtype, device=target.device)
            across = search.across(aim.expand_as(target))
            tilt = _TILT * scale[:, None] * across / (1e-30 + across.abs().amax(-1, keepdim=True))
            grown = torch.zeros(len(target), dtype=torch.bool, device=target.device)
            for sign in (1, -1):
                vertex = oracle(slope + sign * tilt)
                ties = (slope * (vertex - found.mean)).sum(-1).abs() <= 1e-3 * _TILT * scale
                grown = grown | search.widen(vertex, torch.zeros_like(scale), ties)
            if not bool(grown.any()):
                break
        return search.atoms, search.active


class _Search:
    """The active atoms of every instance, with the Cholesky factor of their system."""

    def __init__(self, target: Tensor, curvature: Tensor) -> None:
        self.target, self.curvature = target, curvature
        self.rows = torch.arange(len(target), device=target.device)

    def begin(self, vertex: Tensor) -> None:
        """One atom of weight 1."""
        one = torch.ones(len(vertex), 1, dtype=vertex.dtype, device=vertex.device)
        self.take(vertex[:, None], one, one > 0)

    def take(self, atoms: Tensor, weights: Tensor, active: Tensor) -> None:
        """These atoms, known to be affinely independent."""
        self.atoms, self.weights, self.active = atoms.clone(), weights, active
        self.linear = torch.einsum("bsd,bd->bs", self.atoms, self.target)
        self.gram = torch.einsum("bsd,btd->bst", self.atoms * self.curvature.unsqueeze(-2), self.atoms)
        self.factor()

    def resume(self, atoms: Tensor, weights: Tensor) -> None:
        """Atoms of unknown origin; those that depend on heavier ones are left out."""
        weights, order = weights.sort(-1, descending=True)
        atoms = atoms.gather(1, order[..., None].expand_as(atoms))
        active = weights > 0
        active[:, 0] = True
        self.take(atoms, torch.where(active, weights, 0.0), active)
        pivots = self.root.diagonal(dim1=-2, dim2=-1).square()
        own = self.gram.diagonal(dim1=-2, dim2=-1) + 1
        # a pivot is what is left of an atom off the affine hull of those before it
        if not bool((pivots > _DEPENDENT * own).all()):
            self.begin(atoms[:, 0])
            self.weights = weights[:, :1]
            for atom, weight in zip(atoms.unbind(1)[1:], weights.unbind(1)[1:], strict=True):
                self.widen(atom, weight, weight > 0)
        self.weights = torch.where(self.active, self.weights.clamp_min(_NO_WEIGHT), 0.0)
        self.weights = self.weights / self.weights.sum(-1, keepdim=True)
        self.settle(self.rows >= 0)

    def factor(self) -> None:
        self.root = torch.linalg.cholesky_ex(_system(self.gram, self.active)).L

    def solve(self, rhs: Tensor) -> Tensor:
        return torch.cholesky_solve(rhs, self.root)

    def improve(self, vertex: Tensor, wanted: Tensor) -> Tensor:
        """Let a better vertex in where wanted and go to the new optimum; which instances did not move, `(B,)`."""
        row, own, coordinates, apart = self.against(vertex)
        freed = self.exchange(coordinates, wanted & ~apart)
        self.insert(vertex, row, own, freed, wanted)
        before = self.weights
        self.settle(wanted)
        return (self.weights - before).abs().amax(-1) <= _NO_WEIGHT

    def widen(self, vertex: Tensor, weight: Tensor, wanted: Tensor) -> Tensor:
        """Let a vertex in where it is wanted and independent, leaving the other weights; where that was, `(B,)`."""
        row, own, _, apart = self.against(vertex)
        entering = wanted & apart
        self.insert(vertex, row, own, weight, entering)
        self.factor()
        return entering

    def against(self, vertex: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Products with the atoms and itself, its affine coordinates among them, and whether it is none of theirs."""
        bent = self.curvature * vertex
        row, own = torch.einsum("bsd,bd->bs", self.atoms, bent), (bent * vertex).sum(-1)
        column = torch.where(self.active, row + 1, 0.0)
        coordinates = self.solve(column[..., None])[..., 0]
        apart = own + 1 - (column * coordinates).sum(-1) > _DEPENDENT * (own + 1)
        return row, own, coordinates, apart

    def exchange(self, coordinates: Tensor, wanted: Tensor) -> Tensor:
        """Take weight, `(B,)`, for a dependent vertex along its coordinates, until an atom has none left and leaves."""
        ratio = torch.where(self.active & (coordinates > _NO_WEIGHT), self.weights / coordinates, torch.inf)
        step, slot = ratio.min(-1)
        freed = torch.where(wanted, step, 0.0)
        gone = wanted[:, None] & (torch.arange(ratio.shape[1], device=slot.device) == slot[:, None])
        moved = self.weights - freed[:, None] * coordinates
        self.weights = torch.where(gone, 0.0, moved.clamp_min(0.0))
        self.active = self.active & ~gone
        return freed

    def insert(self, vertex: Tensor, row: Tensor, own: Tensor, weight: Tensor, wanted: Tensor) -> None:
        """Put the vertex into a free slot of each instance that wants it."""
        if bool((self.active.all(-1) & wanted).any()):
            self.grow()
            row = torch.nn.functional.pad(row, (0, self.active.shape[1] - row.shape[1]))
        slot = (~self.active).to(torch.uint8).argmax(-1)
        put = wanted[:, None] & (torch.arange(self.active.shape[1], device=slot.device) == slot[:, None])
        at = (self.rows, slot)
        self.atoms[at] = torch.where(wanted[:, None], vertex, self.atoms[at])
        row = torch.where(put, own[:, None], row)
        self.gram[self.rows, slot] = torch.where(wanted[:, None], row, self.gram[at])
        self.gram[self.rows, :, slot] = self.gram[at]
        self.linear = torch.where(put, (vertex * self.target).sum(-1, keepdim=True), self.linear)
        self.weights = torch.where(put, weight[:, None], self.weights)
        self.active = self.active | put

    def grow(self) -> None:
        """Room for half as many atoms more."""
        more = 1 + self.active.shape[1] // 2
        pad = torch.nn.functional.pad
        self.atoms, self.gram = pad(self.atoms, (0, 0, 0, more)), pad(self.gram, (0, more, 0, more))
        self.linear, self.weights = pad(self.linear, (0, more)), pad(self.weights, (0, more))
        self.active = pad(self.active, (0, more))

    def settle(self, moving: Tensor) -> None:
        """Go to the best point of the atoms' convex hull: to that of their affine hull, atoms leaving on the way."""
        slots = torch.arange(self.active.shape[1], device=self.active.device)
        for _ in range(self.active.shape[1] + 1):
            self.factor()
            best = _affine(self.solve, self.linear, self.active, 1.0)
            blocked = self.active & (best <= _NO_WEIGHT) & moving[:, None]
            ratio = torch.where(blocked, self.weights / (self.weights - best).clamp_min(1e-300), torch.inf)
            step, slot = ratio.min(-1)
            stopped = blocked.any(-1)
            moved = self.weights + torch.where(stopped, step.clamp(0.0, 1.0), 1.0)[:, None] * (best - self.weights)
            gone = stopped[:, None] & (slots == slot[:, None])
            moved = torch.where(gone, 0.0, moved.clamp_min(0.0))
            self.weights = torch.where(moving[:, None], moved, self.weights)
            self.active = self.active & ~gone
            moving = moving & stopped
            if not bool(moving.any()):
                break

    def across(self, aim: Tensor) -> Tensor:
        """Directions `(B, d)` less what tells the active atoms apart."""
        share = _affine(self.solve, torch.einsum("bsd,bd->bs", self.atoms, aim), self.active, 0.0)
        return aim - self.curvature * _combine(share, self.atoms)


def _combine(weights: Tensor, atoms: Tensor) -> Tensor:
    return torch.einsum("bs,bsd->bd", weights, atoms)


def _system(gram: Tensor, active: Tensor) -> Tensor:
    """`gram + 1` on the active atoms, positive definite where they are affinely independent; the identity elsewhere."""
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return torch.where(active[:, :, None] & active[:, None, :], gram + 1, eye)


def _affine(solve: Callable[[Tensor], Tensor], linear: Tensor, active: Tensor, total: float) -> Tensor:
    """The maximum of `<linear, p> - 1/2 p gram p` over active `p` of sum `total`."""
    top = torch.where(active, linear, -torch.inf).amax(-1, keepdim=True).detach()  # its size would cost digits
    ones = active.to(linear.dtype)
    rhs = torch.stack([torch.where(active, linear - top, 0.0), ones], -1)
    x, y = solve(rhs).unbind(-1)
    return torch.where(active, x + (total - x.sum(-1, keepdim=True)) / y.sum(-1, keepdim=True) * y, 0.0)
