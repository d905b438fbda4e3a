"""The benchmark of traces runs and names every algorithm; both of its sides answer the same. No time is asserted."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks import traces


def test_report(tmp_path: Path):
    out = tmp_path / "traces.md"
    assert traces.main(["--batch", "2", "--size", "3", "--rounds", "1", "--out", str(out)]) == 0
    text = out.read_text()
    assert all(f"| {name} | sample |" in text for name in traces.ALGORITHMS)


def test_both_sides_agree():
    algorithm = traces.ALGORITHMS["ChuLiuEdmonds"](4)
    pairs = traces.queries(algorithm, torch.randn(3, 4, 4))
    for query in ("event", "log_prob", "log_prob, gradient"):
        together, apart = pairs[query]
        torch.testing.assert_close(together(), torch.stack(apart()))
