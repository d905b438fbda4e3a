"""Mixed random variables on the simplex: noise projected by sparsemax, with mass on every face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from semiring_struct.errors import UnsupportedQueryError
from semiring_struct.ops import NEG_INF, gumbel, logsumexp, sparsemax

_NODES = 64


class _NoisySparsemax(Distribution):
    """`sparsemax(loc + scale * noise)`: a point of the simplex, on a face of lower dimension with positive chance."""

    support = constraints.simplex  # type: ignore[assignment]
    has_rsample = True
    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": constraints.real_vector, "scale": constraints.positive,
    }  # fmt: skip

    def __init__(self, loc: Tensor, scale: Tensor | float = 1.0, validate_args: bool | None = None) -> None:
        width = torch.as_tensor(scale, dtype=loc.dtype, device=loc.device)
        if width.dim():
            raise ValueError(f"{type(self).__name__} needs one scale for all entries; got shape {tuple(width.shape)}")
        self.loc, self.scale = loc, width
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=validate_args)

    def _noise(self, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
        raise NotImplementedError

    def rsample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draws `(*sample_shape, *batch, k)`, differentiable in `loc` and `scale`."""
        noise = self._noise(self._extended_shape(torch.Size(sample_shape)), generator)
        return sparsemax(self.loc + self.scale * noise, -1)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same with other batch dims."""
        return type(self)(self.loc.expand(*batch_shape, *self.event_shape), self.scale)


@final
class GumbelSparsemax(_NoisySparsemax):
    """`sparsemax(loc + scale * Gumbel)`: pathwise draws; neither its density nor its faces have a closed form.

    Source: Farinhas, Aziz, Niculae & Martins 2022, sec. 4 [farinhas2022].
    """

    def _noise(self, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
        return gumbel(shape, generator=generator, dtype=self.loc.dtype, device=self.loc.device)


@final
class GaussianSparsemax(_NoisySparsemax):
    """`sparsemax(loc + scale * N(0, I))` with its mixed density and the chances of small faces.

    The density on a face is with respect to the Lebesgue measure of all but one of its coordinates. Integrals over the
    threshold are one-dimensional, by Gauss-Hermite quadrature with 64 nodes.
    Source: Farinhas, Aziz, Niculae & Martins 2022, sec. 4 [farinhas2022].
    """

    def _noise(self, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
        return torch.randn(tuple(shape), generator=generator, dtype=self.loc.dtype, device=self.loc.device)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log of the mixed density at points of the simplex `(*sample, *batch, k)`: `(*sample, *batch)`.

        With the support `S` of `value`, every noisy score is `value_i + tau` on `S` and at most `tau` off it:
        `|S| * integral of prod_S N(value_i + tau) prod_(not S) Phi(tau) d tau`.
        """
        on = value > 0
        size = on.sum(-1)
        centre = torch.where(on, self.loc - value, 0.0).sum(-1) / size
        rest = torch.where(on, self.loc - value - centre.unsqueeze(-1), 0.0).square().sum(-1) / self.scale.square()
        log_scale = self.scale.log() + math.log(2 * math.pi) / 2
        peak = -rest / 2 - (size - 1) * log_scale - size.log() / 2
        return size.log() + peak + self._below(centre, size, ~on, 0.0)

    def face_log_prob(self, face: Tensor) -> Tensor:
        """Log of the chance that the support is exactly `face` (boolean `(*batch, k)`): `(*batch,)`.

        For faces of one or two coordinates, and for all three of three. Raises `UnsupportedQueryError` for others,
        whose chance is an integral of more than one dimension, and `ValueError` for an empty face.
        """
        face = face.expand(*self.batch_shape, *self.event_shape)
        size = face.sum(-1)
        if bool((size == 0).any()):
            raise ValueError("face_log_prob needs faces of one coordinate or more")
        k = self.event_shape[0]
        if bool(((size > 2) & (size < max(k, 3))).any()) or (k > 3 and bool((size > 2).any())):
            raise UnsupportedQueryError(
                "face_log_prob has closed forms for faces of one or two coordinates (and all of three); estimate "
                "larger ones from rsample"
            )
        small = self._small_face(face & (size <= 2).unsqueeze(-1) | (size > 2).unsqueeze(-1) & self._first(face))
        if k != 3 or not bool((size == 3).any()):
            return small
        return torch.where(size == 3, self._whole_of_three(), small)

    def _first(self, face: Tensor) -> Tensor:
        """A stand-in vertex for faces answered otherwise."""
        return torch.arange(face.shape[-1], device=face.device).expand(face.shape) == 0

    def _small_face(self, face: Tensor) -> Tensor:
        size = face.sum(-1)
        centre = torch.where(face, self.loc, 0.0).sum(-1) / size
        gap = torch.where(face, self.loc - centre.unsqueeze(-1), 0.0).abs().sum(-1)  # |difference| of a pair, 0 for one
        spread = self.scale * math.sqrt(2.0)
        pair = torch.special.ndtr((1 - gap) / spread) - torch.special.ndtr((-1 - gap) / spread)
        among = torch.where(size == 1, 1.0, pair).clamp_min(torch.finfo(gap.dtype).tiny).log()
        return among + self._below(centre, size, ~face, 1.0)

    def _below(self, centre: Tensor, size: Tensor, off: Tensor, mass: float) -> Tensor:
        """Log of the chance that every score in `off` is below the threshold, the face's mean less `mass / |S|`."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        t = torch.as_tensor(nodes, dtype=self.loc.dtype, device=self.loc.device)
        w = torch.as_tensor(np.log(weights / weights.sum()), dtype=self.loc.dtype, device=self.loc.device)
        tau = centre.unsqueeze(-1) + (self.scale / size.sqrt()).unsqueeze(-1) * t - (mass / size).unsqueeze(-1)
        room = torch.special.log_ndtr((tau.unsqueeze(-1) - self.loc.unsqueeze(-2)) / self.scale)
        return logsumexp(w + torch.where(off.unsqueeze(-2), room, 0.0).sum(-1), -1)

    def _whole_of_three(self) -> Tensor:
        shape = (*self.batch_shape, 3)
        masks = torch.tensor([[i == j for j in range(3)] for i in range(3)], device=self.loc.device)
        faces = [m.expand(shape) for m in (*masks, *~masks)]
        taken = torch.stack([self._small_face(f).exp() for f in faces]).sum(0)
        return torch.where(taken < 1, (-taken.clamp(max=1.0)).log1p(), NEG_INF)
