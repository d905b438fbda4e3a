"""Sums over trees and their gradients, by the first implementation that takes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from semiring_struct.kernels.dispatch import Twin, compiled_here, dispatch
from semiring_struct.kernels.elimination import reference


def sums(w: Tensor, lengths: Tensor, single: bool, slopes: bool) -> tuple[Tensor, Tensor]:
    """Log of the sum over all trees `(B,)`, and with `slopes` the probability of each arc `(B, m, m)`, in float64."""
    run, _ = dispatch(plain, TWINS, w, lengths, single, slopes)
    return run(w, lengths, single, slopes)


def plain(w: Tensor, lengths: Tensor, single: bool, slopes: bool) -> tuple[Tensor, Tensor]:
    """In log space, on any device."""
    found = reference.eliminate(w, lengths, single, keep=slopes)
    return found.log_z, reference.arcs(found) if slopes else w.new_empty((0, 0, 0), dtype=torch.float64)


def compiled(w: Tensor, lengths: Tensor, single: bool, slopes: bool) -> tuple[Tensor, Tensor]:
    """On the weights themselves; instances whose range is too wide for that go through `plain`."""
    from semiring_struct.kernels.elimination import cpu

    log_z = np.empty(len(w))
    arcs = np.zeros(tuple(w.shape) if slopes else (0, 0, 0))
    cpu.sums(w.detach().double().contiguous().numpy(), lengths.contiguous().numpy(), single, log_z, arcs)
    total, out = torch.from_numpy(log_z), torch.from_numpy(arcs)
    wide = total.isnan()
    if bool(wide.any()):
        again, slow = plain(w[wide], lengths[wide], single, slopes)
        total[wide] = again
        if slopes:
            out[wide] = slow
    return total, out


def refuse(w: Tensor, lengths: Tensor, single: bool, slopes: bool) -> str | None:
    """Without numba, for tensors elsewhere, and where the environment asks for the plain machine."""
    return compiled_here(w.device)


TWINS = (Twin("cpu", compiled, refuse),)
