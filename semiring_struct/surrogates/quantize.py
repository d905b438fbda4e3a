"""Quantisation with straight-through gradients: rounding, and the nearest vector of a codebook."""

from __future__ import annotations

from torch import Tensor

from semiring_struct.errors import ShapeError


def round_ste(x: Tensor) -> Tensor:
    """`x` rounded to integers (halves to even), with the gradient of `x` itself.

    Forward: `round(x)`. Backward: `g`, unscaled.
    Bias: yes.  Needs: nothing.  Source: Niculae et al. 2023, sec. 4.3.1 [niculae2023].
    """
    return x + (x.round() - x).detach()


def vector_quantize(x: Tensor, codebook: Tensor) -> Tensor:
    """The codebook's vector nearest to each `x`, with the gradient of `x` itself.

    Forward: `codebook[argmin_k |x - codebook_k|]`, the first of tied ones. Backward: `g` goes to `x`, unscaled, and
    nothing to the codebook, which learns from `quantization_loss`.
    Bias: yes.  Needs: a codebook.  Does not need: marginals, samples.
    Shape: `x (*batch, d)`, `codebook (k, d)` -> `(*batch, d)`. Raises `ShapeError` where `d` differs.
    Source: van den Oord, Vinyals & Kavukcuoglu 2017, sec. 3.1 [oord2017]; Niculae et al. 2023, eq. 4.4 [niculae2023].
    """
    nearest = codebook.detach()[_nearest(x, codebook)]
    return x + (nearest - x).detach()


def quantization_loss(x: Tensor, codebook: Tensor, commitment: float = 0.25) -> Tensor:
    """What makes codes and vectors meet: `|sg(x) - c|^2 + commitment * |x - sg(c)|^2`, `c` the code nearest to `x`.

    `sg` stops the gradient: the first term moves codes only, the second `x` only.
    Shape: `x (*batch, d)`, `codebook (k, d)` -> `(*batch,)`. Raises `ValueError` for a commitment below 0.
    Source: van den Oord, Vinyals & Kavukcuoglu 2017, sec. 3.2, eq. 3 [oord2017].
    """
    if not commitment >= 0:
        raise ValueError(f"quantization_loss needs a commitment weight >= 0; got {commitment}")
    nearest = codebook[_nearest(x, codebook)]
    to_codes = (x.detach() - nearest).square().sum(-1)
    return to_codes + commitment * (x - nearest.detach()).square().sum(-1)


def _nearest(x: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest code `(*batch,)`."""
    if codebook.dim() != 2 or x.dim() < 1 or x.shape[-1] != codebook.shape[-1] or not len(codebook):
        raise ShapeError(
            f"vector quantization needs x (*batch, d) and a codebook (k, d) with k >= 1; got {tuple(x.shape)} and "
            f"{tuple(codebook.shape)}"
        )
    fixed, codes = x.detach(), codebook.detach()
    # distances less the constant |x|^2: one matrix product in place of (..., k, d) differences
    return (codes.square().sum(-1) - 2 * fixed @ codes.mT).argmin(-1)
