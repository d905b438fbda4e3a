"""Constraints: rules of tag schemes, allowed parts, partial annotation, automata."""

from semiring_struct.constraints.accepted import AcceptedChain, AcceptedSubset
from semiring_struct.constraints.allowed import allow, known_tags, log_prob
from semiring_struct.constraints.tags import TagRules, bio, bioes, bioul, follow, iob1

__all__ = [
    "AcceptedChain", "AcceptedSubset", "TagRules", "allow", "bio", "bioes", "bioul", "follow", "iob1", "known_tags",
    "log_prob",
]  # fmt: skip
