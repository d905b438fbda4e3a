"""Combinatorial families, one per file, each written once as a program that names no semiring and no machine."""

from semiring_struct.structures.affine_alignment import AffineAlignment, AffineAlignmentPotentials
from semiring_struct.structures.alignment import Alignment, AlignmentPotentials
from semiring_struct.structures.arborescence import Arborescence
from semiring_struct.structures.automaton import Automaton
from semiring_struct.structures.autoregressive import Autoregressive
from semiring_struct.structures.base import DynamicProgram, Structure
from semiring_struct.structures.bit_vector import BitVector
from semiring_struct.structures.correlated_subset import CorrelatedSubset, SubsetPotentials
from semiring_struct.structures.ctc import CTC
from semiring_struct.structures.dtw import DTW
from semiring_struct.structures.factor_graph import FactorGraph
from semiring_struct.structures.grammars import (
    LowRankPCFGPotentials,
    LowRankPCFGSpanPotentials,
    PCFGPotentials,
    PCFGSpanPotentials,
)
from semiring_struct.structures.hmm import hmm
from semiring_struct.structures.kinds import LogPartition, Solver
from semiring_struct.structures.labels import Encoded, LabelCode, dense
from semiring_struct.structures.lengths import bounds_of, integers, on_device
from semiring_struct.structures.linear_chain import ChainPotentials, LinearChain
from semiring_struct.structures.low_rank_pcfg import LowRankPCFG
from semiring_struct.structures.matching import Matching
from semiring_struct.structures.monotonic_alignment import MonotonicAlignment
from semiring_struct.structures.natives import NATIVES, Natives
from semiring_struct.structures.one_of import OneOf
from semiring_struct.structures.pcfg import PCFG
from semiring_struct.structures.projective_tree import ProjectiveTree
from semiring_struct.structures.semi_markov import SemiMarkov, SemiMarkovPotentials
from semiring_struct.structures.span_tree import SpanTree
from semiring_struct.structures.spanning_tree import SpanningTree
from semiring_struct.structures.subset import Subset

__all__ = [
    "CTC", "DTW", "NATIVES", "PCFG", "AffineAlignment", "AffineAlignmentPotentials", "Alignment", "AlignmentPotentials",
    "Arborescence", "Automaton", "Autoregressive", "BitVector", "ChainPotentials", "CorrelatedSubset", "DynamicProgram",
    "Encoded", "FactorGraph", "LabelCode", "LinearChain", "LogPartition", "LowRankPCFG", "LowRankPCFGPotentials",
    "LowRankPCFGSpanPotentials", "Matching", "MonotonicAlignment", "Natives", "OneOf", "PCFGPotentials",
    "PCFGSpanPotentials", "ProjectiveTree", "SemiMarkov", "SemiMarkovPotentials", "Solver", "SpanTree", "SpanningTree",
    "Structure", "Subset", "SubsetPotentials", "bounds_of", "dense", "hmm", "integers", "on_device",
]  # fmt: skip
