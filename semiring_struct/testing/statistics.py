"""Tests of samplers whose chance of crying wolf is stated: chi-square on exact probabilities, in two stages."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LEAST_EXPECTED = 5.0


def chi_square_survival(statistic: Tensor, freedom: Tensor) -> Tensor:
    """P(chi-square with `freedom` degrees >= `statistic`), elementwise in float64; 1 where `freedom` is 0."""
    statistic, freedom = torch.broadcast_tensors(statistic.double(), freedom.double())
    tail = torch.special.gammaincc(freedom.clamp_min(1) / 2, statistic / 2)
    return torch.where(freedom == 0, 1.0, tail)


def gamma_two_sided(total: float, shape: float) -> float:
    """Two-sided p-value of `total` under Gamma(shape, 1), the law of a sum of `shape` unit exponentials."""
    half = [torch.tensor(x, dtype=torch.float64, device="cpu") for x in (shape, total)]
    upper = torch.special.gammaincc(*half)
    return float(2 * torch.minimum(upper, 1 - upper))


def pool_cells(counts: Tensor, expected: Tensor, least: float = LEAST_EXPECTED) -> tuple[Tensor, Tensor]:
    """Merge the rarest cells until each one expects at least `least` draws; both arguments are `(cells,)`."""
    order = expected.argsort()
    counts, expected = counts[order], expected[order]
    rare = int((expected < least).sum())
    while 0 < rare < len(expected) and float(expected[:rare].sum()) < least:
        rare += 1
    if rare == 0:
        return counts, expected
    head = [torch.cat([cells[:rare].sum().reshape(1), cells[rare:]]) for cells in (counts, expected)]
    return head[0], head[1]


def chi_square_test(counts: Tensor, probabilities: Tensor) -> float:
    """p-value of `counts` `(cells,)` under `probabilities` `(cells,)`; 0 if a cell of probability 0 was drawn."""
    if bool(((probabilities == 0) & (counts > 0)).any()):
        return 0.0
    drawn = counts.sum().double()
    seen, expected = pool_cells(counts.double(), probabilities.double() * drawn)
    statistic = ((seen - expected).square() / expected.clamp_min(torch.finfo(torch.float64).tiny)).sum()
    return float(chi_square_survival(statistic, torch.tensor(len(expected) - 1.0, device="cpu")))


def holm_rejections(p_values: list[float], level: float) -> list[int]:
    """Indices rejected by Holm's step-down procedure: the chance of any false rejection is at most `level`."""
    rejected: list[int] = []
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] > level / (len(p_values) - rank):
            break
        rejected.append(index)
    return rejected


def cell_counts(cells: Tensor, size: int) -> Tensor:
    """How often each of `size` cells occurs along dim 0 of `cells` `(draws, instances)`: `(size, instances)`."""
    hot = torch.zeros(size, cells.shape[1], dtype=torch.float64, device="cpu")
    return hot.scatter_add_(0, cells, torch.ones_like(cells, dtype=torch.float64))


def check_sampler(
    draw: Callable[[int], Tensor],
    probabilities: Tensor,
    *,
    draws: int = 4000,
    false_alarm: float = 1e-6,
    name: str = "sampler",
) -> None:
    """Raise AssertionError unless `draw` follows `probabilities`.

    `draw(count)` returns `(count, *batch)` integer cells, independent of earlier calls; `probabilities` is
    `(cells, *batch)`. A chi-square test on `draws` draws per instance, Holm-corrected over the instances at level
    `sqrt(false_alarm)`, is followed, only if it rejects, by one on four times as many fresh draws at the same level.
    A right sampler fails with probability at most `false_alarm` (up to the chi-square approximation, with cells
    pooled to 5 expected draws). A cell that is not in range, or has probability 0, fails at once.
    Power: over 10 equal cells, 5 % of the mass moved to one cell is caught with probability above 0.99.
    """
    exact = probabilities.detach().double().reshape(len(probabilities), -1)
    level = false_alarm**0.5
    suspects: list[int] = list(range(exact.shape[1]))
    p_values: list[float] = []
    for count in (draws, 4 * draws):
        cells = draw(count).reshape(count, -1)
        if bool(((cells < 0) | (cells >= len(exact))).any()):
            raise AssertionError(f"{name}: drew something that is no structure of the instance.")
        counts = cell_counts(cells, len(exact))
        impossible = ((counts > 0) & (exact == 0)).any(0)
        if bool(impossible.any()):
            raise AssertionError(
                f"{name}: drew a structure of probability 0 in instances {impossible.nonzero().tolist()}."
            )
        p_values = [chi_square_test(counts[:, i], exact[:, i]) for i in suspects]
        suspects = [suspects[i] for i in holm_rejections(p_values, level)]
        if not suspects:
            return
    raise AssertionError(
        f"{name}: draws do not follow the exact probabilities in instances {suspects}: p-value {min(p_values):.1e} "
        f"in the retest (a right sampler fails with probability {false_alarm:.0e})."
    )
