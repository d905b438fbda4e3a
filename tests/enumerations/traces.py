"""The laws of structures built by algorithms on exponential noise: recursions over sets, from the definitions.

Each takes rates as nested lists and returns `{structure: probability}`, a structure being a frozenset of its parts.
They follow the papers' recursions one choice at a time, on Python sets and floats.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

Law = dict[frozenset, float]
Rates = list[list[float]]


def _mix(law: Law, weight: float, part: Hashable, rest: Law) -> None:
    for structure, probability in rest.items():
        law[structure | {part}] += weight * probability


def subsets(rates: list[float], k: int) -> Law:
    """k draws without replacement."""

    def draw(left: frozenset[int], wanted: int) -> Law:
        if wanted == 0:
            return {frozenset(): 1.0}
        law: Law = defaultdict(float)
        total = sum(rates[i] for i in left)
        for i in left:
            _mix(law, rates[i] / total, i, draw(left - {i}, wanted - 1))
        return law

    return draw(frozenset(range(len(rates))), k)


def spanning_trees(rates: Rates) -> Law:
    """Kruskal's algorithm: the state is the partition of the vertices."""
    memory: dict[frozenset[frozenset[int]], Law] = {}

    def grow(parts: frozenset[frozenset[int]]) -> Law:
        if len(parts) == 1:
            return {frozenset(): 1.0}
        if parts not in memory:
            of = {v: part for part in parts for v in part}
            edges = [(i, j) for i in of for j in of if i < j and of[i] != of[j]]
            total = sum(rates[i][j] for i, j in edges)
            law: Law = defaultdict(float)
            for i, j in edges:
                rest = grow(parts - {of[i], of[j]} | {of[i] | of[j]})
                _mix(law, rates[i][j] / total, (i, j), rest)
            memory[parts] = law
        return memory[parts]

    return grow(frozenset(frozenset({v}) for v in range(len(rates))))


def matchings(rates: Rates) -> Law:
    """The smallest pair of those left, again and again."""
    memory: dict[tuple[frozenset[int], frozenset[int]], Law] = {}

    def match(rows: frozenset[int], columns: frozenset[int]) -> Law:
        if not rows:
            return {frozenset(): 1.0}
        if (rows, columns) not in memory:
            law: Law = defaultdict(float)
            total = sum(rates[i][j] for i in rows for j in columns)
            for i in rows:
                for j in columns:
                    _mix(law, rates[i][j] / total, (i, j), match(rows - {i}, columns - {j}))
            memory[rows, columns] = law
        return memory[rows, columns]

    every = frozenset(range(len(rates)))
    return match(every, every)


def binary_trees(rates: list[float]) -> Law:
    """The smallest of an interval is the parent of the smallest of what is left and what is right of it."""

    def tree(low: int, high: int, parent: int | None) -> Law:
        if low == high:
            return {frozenset(): 1.0}
        total, law = sum(rates[low:high]), defaultdict(float)
        for node in range(low, high):
            arc = frozenset() if parent is None else frozenset({(parent, node)})
            for left, p in tree(low, node, node).items():
                for right, q in tree(node + 1, high, node).items():
                    law[arc | left | right] += rates[node] / total * p * q
        return law

    return tree(0, len(rates), None)


def arborescences(rates: Rates, root: int = 0) -> Law:
    """Edmonds' algorithm, one component and one cycle at a time: any component without an arc takes one next.

    A component is the set of its nodes; `chosen` maps it to the arc that enters it, `inner` to the parts of its cycle.
    """
    law: Law = defaultdict(float)
    nodes = range(len(rates))

    def grow(parts: frozenset, chosen: dict, inner: dict, weight: float) -> None:
        waiting = [part for part in parts if part not in chosen and root not in part]
        if not waiting:
            arcs: set = set()
            for part in parts:
                if root not in part:
                    expand(part, chosen[part], chosen, inner, arcs)
            law[frozenset(arcs)] += weight
            return
        part = min(waiting, key=sorted)
        entering = [(h, d) for d in part for h in nodes if h not in part]
        total = sum(rates[h][d] for h, d in entering)
        for h, d in entering:
            after = {**chosen, part: (h, d)}
            cycle = trail(part, parts, after)
            if cycle is None:
                grow(parts, after, inner, weight * rates[h][d] / total)
            else:
                whole = frozenset().union(*cycle)
                grow(parts - set(cycle) | {whole}, after, {**inner, whole: cycle}, weight * rates[h][d] / total)

    def trail(start: frozenset, parts: frozenset, chosen: dict) -> list | None:
        """The components that lead back to `start` by their arcs, if they do."""
        path, at = [start], start
        while at in chosen:
            at = next(part for part in parts if chosen[at][0] in part)
            if at == start:
                return path
            path.append(at)
        return None

    def expand(part: frozenset, arc: tuple[int, int], chosen: dict, inner: dict, arcs: set) -> None:
        """All arcs inside a component that is entered by `arc`, and `arc`."""
        if len(part) == 1:
            arcs.add(arc)
            return
        for sub in inner[part]:
            expand(sub, arc if arc[1] in sub else chosen[sub], chosen, inner, arcs)

    grow(frozenset(frozenset({v}) for v in nodes), {}, {}, 1.0)
    return law
