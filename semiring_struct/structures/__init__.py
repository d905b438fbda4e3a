"""Combinatorial families, one per file, each written once as a program that names no semiring and no machine."""

from semiring_struct.structures.alignment import Alignment, AlignmentPotentials
from semiring_struct.structures.base import DynamicProgram, Structure
from semiring_struct.structures.hmm import hmm
from semiring_struct.structures.labels import LabelCode, dense
from semiring_struct.structures.lengths import bounds_of
from semiring_struct.structures.linear_chain import ChainPotentials, LinearChain
from semiring_struct.structures.one_of import OneOf
from semiring_struct.structures.projective_tree import ProjectiveTree
from semiring_struct.structures.semi_markov import SemiMarkov, SemiMarkovPotentials
from semiring_struct.structures.span_tree import SpanTree

__all__ = [
    "Alignment", "AlignmentPotentials", "ChainPotentials", "DynamicProgram", "LabelCode", "LinearChain", "OneOf",
    "ProjectiveTree", "SemiMarkov", "SemiMarkovPotentials", "SpanTree", "Structure", "bounds_of", "dense", "hmm",
]  # fmt: skip
