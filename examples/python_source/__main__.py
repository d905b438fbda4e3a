"""Command line: `python -m examples.python_source --seed 0 --output demo_output [--quick]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from .closeup import look_at_line, look_at_parse
from .corpus import read_corpus
from .figures import draw
from .parsing import run_parsing
from .report import line_report, parse_report, summary
from .tagging import run_tagging


@dataclass(frozen=True)
class Budget:
    """How much is read, learned and judged."""

    train_files: int
    test_files: int
    tag_steps: int
    parse_steps: int
    most_test: int


FULL = Budget(train_files=240, test_files=60, tag_steps=1000, parse_steps=1000, most_test=1200)
QUICK = Budget(train_files=30, test_files=10, tag_steps=80, parse_steps=60, most_test=200)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs both experiments and the close-up; prints the report, and writes it and a figure to a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.python_source",
        description="Learns to tag and to parse Python from the standard library's source files; needs no download.",
    )
    parser.add_argument("--seed", type=int, default=0, help="draws the files, the first weights and the batches")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for report.txt and figure.png")
    parser.add_argument("--quick", action="store_true", help="a few seconds instead of a few minutes; scores are low")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    budget = QUICK if options.quick else FULL
    torch.set_num_threads(1)  # tensors this small lose more by handing work to a second thread than it does for them
    options.output.mkdir(parents=True, exist_ok=True)

    corpus = read_corpus(options.seed, budget.train_files, budget.test_files)
    tagging = run_tagging(corpus, options.seed, budget.tag_steps, budget.most_test)
    parsing = run_parsing(corpus, options.seed, budget.parse_steps, budget.most_test)
    generator = torch.Generator().manual_seed(options.seed)
    line, expression = look_at_line(tagging, generator), look_at_parse(parsing, generator)
    draw(tagging, parsing, line, expression, options.output / "figure.png")

    close = summary(tagging, parsing, time.perf_counter() - began, options.seed)
    report = "\n\n".join([line_report(line), parse_report(expression), close])
    (options.output / "report.txt").write_text(report + "\n", encoding="utf-8")
    print(f"\n{report}\n\nwritten: {options.output / 'report.txt'}, {options.output / 'figure.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
