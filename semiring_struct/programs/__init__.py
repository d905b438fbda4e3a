"""The language of programs: charts, affine views, expressions, statements, and the table that machines run."""

from semiring_struct.programs.affine import Affine, Length
from semiring_struct.programs.description import (
    Described,
    Local,
    Undescribed,
    Writer,
    attributes,
    concrete,
    described,
    is_plain,
    made,
    rebuilt,
    warn_if_exporting,
)
from semiring_struct.programs.einsum import largest_intermediate
from semiring_struct.programs.expression import Expression, View
from semiring_struct.programs.fingerprint import ClassState
from semiring_struct.programs.program import Cost, Program, finish
from semiring_struct.programs.recorder import Recorder
from semiring_struct.programs.registry import Source, program_of
from semiring_struct.programs.table import Block, Row, RowTerm, Window

__all__ = [
    "Affine", "Block", "ClassState", "Cost", "Described", "Expression", "Length", "Local", "Program", "Recorder",
    "Row", "RowTerm", "Source", "Undescribed", "View", "Window", "Writer", "attributes", "concrete", "described",
    "finish", "is_plain", "largest_intermediate", "made", "program_of", "rebuilt", "warn_if_exporting",
]  # fmt: skip
