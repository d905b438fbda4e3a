"""Perfect matchings of rows and columns."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from semiring_struct.errors import UnsupportedQueryError
from semiring_struct.kernels.assignment import best_columns, k_best_columns
from semiring_struct.ops import prefix_mask
from semiring_struct.programs import Expression, Recorder
from semiring_struct.structures.base import DynamicProgram
from semiring_struct.structures.labels import Encoded, LabelCode, code_of, where_used
from semiring_struct.structures.natives import Fields

LARGEST = 16  # rows that the program over subsets of columns takes


@final
class Matching(DynamicProgram):
    r"""One column for each of `n` rows, each column once: permutations, perfect matchings of a bipartite graph.

    .. math:: \bigoplus_{\pi} \bigotimes_{i=1}^{n} w_{i,\,\pi(i)}

    Shape (after any batch dims):
        - pair: `(n, n)`; `[i, j]` scores row `i` with column `j`.
        - event: the same. labels: `(n)`, the column of each row.
        - lengths count rows and columns alike, `0..n`: the top left block.

    The best and the k best are found by assignment solvers, at any size. Sums (log_partition, marginals, draws) run
    over subsets of columns, up to n = 16; beyond it they raise `UnsupportedQueryError`. No polynomial algorithm is
    known: the sum is the permanent.

    Cost: `O(n^3)` for the best, `O(n^4)` for each of the k best; `O(n^2 2^n)` time and `O(n 2^n)` memory for sums.
    Reference: subsets: Held & Karp 1962 [held1962]; assignments: Kuhn 1955 [kuhn1955]; k best: Murty 1968 [murty1968].
    """

    event_dim = 2
    shapes = {"pair": "n n"}
    uses_parts_once = True

    def inside(self, p: Recorder, pair: Expression) -> Expression:
        """`chart[i, S]`: the first `i` rows take the `i` columns whose bits make up S.

        `S - 2^j` is S without column j. If j is not in S, borrowing makes of `i + 1` bits at least as many, or a number
        below 0, and cells of `chart[i]` with more than `i` bits are ⊕-zero. Cells with fewer hold sums that mean
        nothing, and are read by no cell that leads to the answer.
        """
        n = pair.shape[0]
        if n > LARGEST:
            raise UnsupportedQueryError(
                f"Matching sums over subsets of columns for n up to {LARGEST}; got n = {n}. At any n it offers argmax, "
                "max_score, contains and topk; a soft matching of any size is relaxations.sinkhorn"
            )
        below, count = 1 << max(n - 1, 0), 1 << n
        chart = p.chart(n + 1, below + count)
        chart[0, below] = p.one
        for i in range(n):
            last = [chart[i, below - (1 << j) : below - (1 << j) + count] * pair[i, j] for j in range(n)]
            chart[i + 1, below:] = sum(last[1:], last[0])
        total = p.chart(n + 1)
        for i in range(n + 1):
            total[i] = chart[i, below + (1 << i) - 1]
        return total[p.length]

    def best(self, fields: Fields, lengths: Tensor) -> tuple[Tensor, ...]:
        """By an assignment solver."""
        return _pairs(*best_columns(fields[0], lengths[:, 0]))

    def k_best(self, fields: Fields, lengths: Tensor, k: int) -> tuple[Tensor, ...]:
        """By an assignment solver on subproblems; the one matching of nothing is that of a row left out."""
        pair = fields[0] if fields[0].shape[-1] else torch.nn.functional.pad(fields[0], (0, 1, 0, 1))
        return _pairs(*k_best_columns(pair, lengths[:, 0], k))

    def label_code(self, sizes: dict[str, int]) -> LabelCode:
        """The column of each row."""
        row, column = torch.meshgrid(torch.arange(sizes["n"]), torch.arange(sizes["n"]), indexing="ij")
        return LabelCode((sizes["n"],), (code_of((row, column)),))

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """The pairs, each column taken once."""
        used = prefix_mask(lengths[:, 0], sizes["n"])
        bad = used & ((labels < 0) | (labels >= lengths))
        columns = torch.where(used, labels, -1)
        twice = (columns[:, :, None] == columns[:, None, :]) & used[:, :, None]
        return Encoded.of(
            (_entries(columns),),
            (bad, "Matching labels are the column of each row, in 0..length-1"),
            (twice.sum((1, 2)) > lengths[:, 0], "Matching labels name each column once"),
        )


def _pairs(first: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    return first, _entries(columns)


def _entries(columns: Tensor) -> Tensor:
    """Columns `(paths, n)`, -1 for none, as flat indices of `[row, column]`."""
    n = columns.shape[1]
    return where_used(columns >= 0, torch.arange(n, device=columns.device) * n + columns)
