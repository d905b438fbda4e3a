"""The sampler test itself: it accepts right samplers, catches planted bias, and its p-values are right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from semiring_struct.testing.statistics import (
    check_sampler,
    chi_square_survival,
    chi_square_test,
    gamma_two_sided,
    holm_rejections,
    pool_cells,
)


def categorical(probabilities: Tensor, seed: int) -> Callable[[int], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows = probabilities.flatten(1).T

    def draw(count: int) -> Tensor:
        cells = torch.multinomial(rows, count, replacement=True, generator=generator)
        return cells.T.reshape(count, *probabilities.shape[1:])

    return draw


def test_survival_function_equals_scipy():
    stats = pytest.importorskip("scipy.stats")
    for freedom in (1, 3, 40):
        for statistic in (0.0, 0.5, 7.0, 90.0):
            ours = chi_square_survival(torch.tensor(statistic), torch.tensor(freedom))
            assert float(ours) == pytest.approx(stats.chi2.sf(statistic, freedom), rel=1e-9, abs=1e-300)
    assert gamma_two_sided(95.0, 100.0) == pytest.approx(2 * stats.gamma.cdf(95.0, 100.0), rel=1e-6)


def test_pooling_keeps_the_totals():
    expected = torch.tensor([100.0, 2.0, 1.0, 0.5, 30.0])
    counts = torch.tensor([99.0, 3.0, 1.0, 0.0, 30.5])
    pooled_counts, pooled = pool_cells(counts, expected)
    assert float(pooled.min()) >= 5
    assert float(pooled.sum()) == float(expected.sum()) and float(pooled_counts.sum()) == float(counts.sum())
    assert len(pool_cells(counts[1:4], expected[1:4])[0]) == 1


def test_holm_steps_down():
    assert holm_rejections([0.02, 0.04, 0.03], 0.05) == []
    assert holm_rejections([0.02, 0.001, 0.06], 0.05) == [1, 0]
    assert holm_rejections([], 0.05) == []


def test_p_values_are_uniform():
    probabilities = torch.tensor([0.1, 0.2, 0.3, 0.4])
    draw = categorical(probabilities.unsqueeze(1).expand(4, 300), 0)
    cells = draw(500)
    p_values = [chi_square_test(cells[:, i].bincount(minlength=4), probabilities) for i in range(300)]
    low = sum(p < 0.1 for p in p_values)
    assert 10 <= low <= 55


def test_right_samplers_pass():
    for seed in range(5):
        logits = torch.randn(12, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        probabilities = logits.softmax(0)
        check_sampler(categorical(probabilities, seed), probabilities)
    sure = torch.tensor([[1.0], [0.0]])
    check_sampler(lambda count: torch.zeros(count, 1, dtype=torch.long), sure)


@pytest.mark.parametrize("seed", range(5))
def test_a_bias_of_five_percent_is_caught(seed: int):
    probabilities = torch.full((10, 1), 0.1, dtype=torch.float64)
    biased = 0.95 * probabilities
    biased[3] += 0.05
    with pytest.raises(AssertionError, match="do not follow"):
        check_sampler(categorical(biased, seed), probabilities)


def test_dependent_instances_of_one_biased_sampler_are_named():
    probabilities = torch.full((4, 3), 0.25, dtype=torch.float64)
    biased = probabilities.clone()
    biased[:, 1] = torch.tensor([0.31, 0.23, 0.23, 0.23])
    with pytest.raises(AssertionError, match=r"instances \[1\]"):
        check_sampler(categorical(biased, 1), probabilities)


def test_impossible_draws_fail_at_once():
    probabilities = torch.tensor([[0.5], [0.5], [0.0]])
    with pytest.raises(AssertionError, match="probability 0"):
        check_sampler(lambda count: torch.full((count, 1), 2), probabilities)
    with pytest.raises(AssertionError, match="no structure"):
        check_sampler(lambda count: torch.full((count, 1), -1), probabilities)
