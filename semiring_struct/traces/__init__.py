"""Algorithms whose choices on exponential noise have known probabilities: one file each, written over a chooser."""

from semiring_struct.traces.base import AlgorithmTrace
from semiring_struct.traces.binary_tree import BinaryTree
from semiring_struct.traces.cells import Cells
from semiring_struct.traces.choosers import Choice, Chooser, Draw, Greedy, OnNoise
from semiring_struct.traces.chu_liu_edmonds import ChuLiuEdmonds
from semiring_struct.traces.enumeration import Enumerate, Traces
from semiring_struct.traces.greedy_matching import GreedyMatching
from semiring_struct.traces.kruskal import Kruskal
from semiring_struct.traces.ordered import Ranking, TopK
from semiring_struct.traces.rates import Rates
from semiring_struct.traces.replay import Conditional, Follow, Outlast, Replay, Uncertainty
from semiring_struct.traces.shrinking import Shrinking

__all__ = [
    "AlgorithmTrace", "BinaryTree", "Cells", "Choice", "Chooser", "ChuLiuEdmonds", "Conditional", "Draw", "Enumerate",
    "Follow", "Greedy", "GreedyMatching", "Kruskal", "OnNoise", "Outlast", "Ranking", "Rates", "Replay", "Shrinking",
    "TopK", "Traces", "Uncertainty",
]  # fmt: skip
