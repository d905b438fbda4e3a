"""Marginals by the library against loops written by hand, on one thread: medians and the ratio of every round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import semiring_struct as ss
from benchmarks.hand import loops
from benchmarks.nussinov import Nussinov

ROUNDS = 15


def cases() -> list[tuple[str, Any, Callable, tuple[tuple[int, ...], ...]]]:
    """Name, structure, loop and shapes."""
    return [
        ("chain 32x128x32", ss.LinearChain(), loops.chain, ((32, 128, 32), (32, 127, 32, 32))),
        ("chain 8x512x64", ss.LinearChain(), loops.chain, ((8, 512, 64), (8, 511, 64, 64))),
        ("chain 16x1024x8", ss.LinearChain(), loops.chain, ((16, 1024, 8), (16, 1023, 8, 8))),
        ("spans 16x40", ss.SpanTree(labelled=False), loops.spans, ((16, 40, 40),)),
        ("alignment 8x100x100", ss.Alignment(), loops.alignment, ((8, 100, 100), (8, 100, 101), (8, 101, 100))),
        ("alignment 8x512x512", ss.Alignment(), loops.alignment, ((8, 512, 512), (8, 512, 513), (8, 513, 512))),
        ("Nussinov 16x60", Nussinov(), loops.pairings, ((16, 60, 60),)),
    ]


def compare(structure: Any, loop: Callable, shapes: tuple[tuple[int, ...], ...]) -> tuple[float, float, float]:
    """Median milliseconds of the library and of the loop, and the median ratio; raises where they disagree."""
    generator = torch.Generator().manual_seed(0)
    fields = [torch.randn(shape, generator=generator) for shape in shapes]
    kind = {ss.LinearChain: ss.ChainPotentials, ss.Alignment: ss.AlignmentPotentials}.get(type(structure))
    phi = fields[0] if kind is None else kind(*fields)

    def by_hand() -> list[torch.Tensor]:
        out = [torch.empty_like(f) for f in fields]
        loop(*(f.numpy() for f in fields), *(o.numpy() for o in out))
        return out

    def by_library() -> list[torch.Tensor]:
        event = ss.marginals(structure, phi)
        return list(event) if isinstance(event, tuple) else [event]

    for one, other in zip(by_library(), by_hand(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for call, into in zip((by_library, by_hand), times, strict=True):
            start = time.thread_time()
            call()
            into.append(1e3 * (time.thread_time() - start))
    ratios = [a / b for a, b in zip(*times, strict=True)]
    return statistics.median(times[0]), statistics.median(times[1]), statistics.median(ratios)


def main() -> None:
    """Print a Markdown table."""
    torch.set_num_threads(1)
    print("| marginals, float32, one thread | library, ms | by hand, ms | ratio |\n| --- | --- | --- | --- |")
    for name, structure, loop, shapes in cases():
        ours, hand, ratio = compare(structure, loop, shapes)
        print(f"| {name} | {ours:.2f} | {hand:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
