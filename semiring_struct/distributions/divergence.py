"""`torch.distributions.kl_divergence` for distributions over structures."""

from __future__ import annotations

from torch import Tensor
from torch.distributions.kl import register_kl

from semiring_struct.distributions.base import StructDistribution


@register_kl(StructDistribution, StructDistribution)
def kl_of_structures(p: StructDistribution, q: StructDistribution) -> Tensor:
    """The divergence of `p` from `q`, `(*batch,)` in nats; differentiable.

    Raises `NotImplementedError` for different structures, `ValueError` for different lengths.
    """
    return p.kl(q)
