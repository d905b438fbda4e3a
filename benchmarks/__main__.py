"""Command line: `python -m benchmarks --cases chain --against torch-struct --out results.json`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import overhead, report, scaling, session
from benchmarks.cases import FAMILIES, Case, parse, queries
from benchmarks.conditions import conditions
from benchmarks.contenders import PEERS

OVERHEAD = "overhead"


def names(text: str) -> tuple[str, ...]:
    """Comma-separated words."""
    return tuple(word for word in text.split(",") if word)


def arguments() -> argparse.ArgumentParser:
    """What the command takes."""
    every = sorted({query for family in FAMILIES.values() for query in family.queries})
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Times queries side by side with peers.")
    parser.add_argument(
        "--cases", type=names, default=("all",), metavar="A,B",
        help=f"{', '.join(FAMILIES)}, all; with sizes of your own as chain:16x64x8; and {OVERHEAD}",
    )  # fmt: skip
    parser.add_argument("--queries", type=names, default=(), metavar="A,B", help=f"some of {', '.join(every)}")
    parser.add_argument("--against", type=names, default=(), metavar="A,B", help=f"peers: {', '.join(PEERS)}")
    parser.add_argument("--threads", type=int, default=1, help="threads that torch may use (default: 1)")
    parser.add_argument("--seconds", type=float, default=5.0, help="time per query over all contenders (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="least number of rounds (default: 3)")
    parser.add_argument("--scale", metavar="n|c|batch", help="multiply this size of every case by 2, 4 and 8 instead")
    parser.add_argument("--heavy", action="store_true", help="also what needs more than 4 GiB")
    parser.add_argument("--memory", action="store_true", help="also peak memory, each call in a process of its own")
    parser.add_argument("--out", type=Path, help="JSON file with every round of every contender")
    parser.add_argument("--table", type=Path, help="Markdown file (printed in any case)")
    parser.add_argument("--plot", type=Path, help="picture of the ratios (needs matplotlib)")
    return parser


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the files that were asked for; 1 if a contender disagrees with us."""
    parser = arguments()
    options = parser.parse_args(given)
    try:
        cases = [case for name in options.cases if name != OVERHEAD for case in parse(name)]
    except ValueError as wrong:
        parser.error(str(wrong))
    if unknown := set(options.against) - set(PEERS):
        parser.error(f"no peer is called {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    torch.set_num_threads(options.threads)
    settings = session.Options(
        options.queries, options.against, options.seconds, options.rounds, options.heavy, options.memory
    )
    document = {
        "conditions": conditions(),
        "entries": [] if options.scale else session.run(cases, settings),
        "scaling": scaling.measure(cases, options.scale, settings, print) if options.scale else [],
        "overhead": _overhead(options.queries) if OVERHEAD in options.cases else [],
    }
    table = report.markdown(document)
    print(f"\n{table}")
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.table:
        options.table.write_text(table, encoding="utf-8")
    if options.plot:
        print(report.plot(document, options.plot))
    agree = [r.get("agrees") for entry in document["entries"] for r in entry["contenders"].values()]
    return 1 if False in agree else 0


def _overhead(wanted: tuple[str, ...]) -> list[dict]:
    """Every family at its first usual size and as small as it gets."""
    usual = [Case(name, family.sizes[0]) for name, family in FAMILIES.items()]
    cases = [case for big in usual for case in (big.tiny(), big) if queries(case, wanted)]
    return [row for case in cases for row in overhead.measure(case, wanted)]


if __name__ == "__main__":
    sys.exit(main())
