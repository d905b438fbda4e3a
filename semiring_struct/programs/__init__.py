"""The language of programs: charts, affine views, expressions, statements, and the table that machines run."""

from semiring_struct.programs.affine import Affine, Length
from semiring_struct.programs.einsum import largest_intermediate
from semiring_struct.programs.expression import Expression, View
from semiring_struct.programs.program import Cost, Program, finish
from semiring_struct.programs.recorder import Recorder
from semiring_struct.programs.registry import program_of, register
from semiring_struct.programs.table import Block, Row, RowTerm, Window

__all__ = [
    "Affine", "Block", "Cost", "Expression", "Length", "Program", "Recorder", "Row", "RowTerm", "View", "Window",
    "finish", "largest_intermediate", "program_of", "register",
]  # fmt: skip
