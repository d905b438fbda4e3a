"""Run the contract on random cases and print every difference: `python -m tests.routes SEED SECONDS [--case NUMBER]`.

The CPU machine is used where it takes a program; `SEMIRING_STRUCT_EXECUTOR` does not matter here.
"""

from __future__ import annotations

import argparse
import collections
import sys
import time

import torch
from tqdm import tqdm

from tests.routes.cases import case, groups
from tests.routes.table import ROUTES, differences

SHOWN = 3  # differences of one family and route that are printed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("seconds", type=float, nargs="?", default=60.0)
    parser.add_argument("--cases", type=int, default=1 << 60, help="stop after so many cases")
    parser.add_argument("--case", type=int, action="append", help="only these cases, by the number that a report names")
    parser.add_argument("--route", action="append", choices=ROUTES, help="only these routes")
    given = parser.parse_args()
    routes, seen = given.route or tuple(ROUTES), collections.Counter[tuple[str, str]]()
    torch.set_num_threads(1)
    if given.case:
        chosen = [[case(number)] for number in given.case]
    else:
        chosen = groups(given.seed)
    until, number = time.monotonic() + given.seconds, 0
    with tqdm(total=given.seconds, unit="s", bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s {postfix}") as bar:
        for group in chosen:
            for found in differences(group, routes):
                key = group[0].model.name.split("(")[0], found.route
                seen[key] += 1
                if seen[key] <= SHOWN:
                    bar.write(str(found), file=sys.stdout)
            number += len(group)
            bar.n = min(given.seconds, given.seconds - (until - time.monotonic()))
            bar.set_postfix_str(f"{number} cases, {sum(seen.values())} differences")
            if time.monotonic() > until or number >= given.cases:
                break
    print(f"{number} cases, {sum(seen.values())} differences")  # noqa: T201, reason: what a command says
    for (family, route), times in seen.most_common():
        print(f"{times:6d}  {family}: {route}")  # noqa: T201
    return 1 if seen else 0


if __name__ == "__main__":
    sys.exit(main())
