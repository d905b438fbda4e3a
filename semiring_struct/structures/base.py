"""The kinds of structures. A kind says what a structure provides; `inference` derives the queries from it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from semiring_struct.errors import ProgramError, ShapeError, UnsupportedQueryError
from semiring_struct.ops import common_dtype, constant, refuse_where
from semiring_struct.programs import (
    Expression,
    Program,
    Recorder,
    Source,
    concrete,
    described,
    finish,
    is_plain,
    program_of,
)
from semiring_struct.programs.affine import Affine
from semiring_struct.structures.labels import Encoded, LabelCode, dense, stored
from semiring_struct.structures.lengths import bounds_of, on_device
from semiring_struct.structures.natives import Natives
from semiring_struct.structures.settings import KEPT, Settings
from semiring_struct.structures.shapes import Declaration, check_ranks, solve
from semiring_struct.structures.shapes import sizes as declared_sizes

SHAPES = 256  # shapes of labels that a structure remembers


class Structure(Natives, Settings, ABC):
    """A combinatorial family. `event_dim` is the number of trailing dims of one event, one per field."""

    event_dim: ClassVar[int | tuple[int, ...]] = 1
    sides: ClassVar[tuple[str, ...]] = ("n",)
    """The letters that `lengths` bounds."""
    field_dim: ClassVar[int | tuple[int, ...] | None] = None
    """The trailing dims of the fields that `prepare` returns; given, their batch dims may broadcast."""
    uses_parts_once: ClassVar[bool] = False
    """Whether no structure uses an (untied) part twice, so that events are 0 or 1; False where that is not known."""
    potentials: ClassVar[type | None] = None
    """The NamedTuple that holds several fields, if the structure has one."""

    def resolve(self, fields: tuple[Tensor, ...]) -> Structure:
        """The structure these potentials mean, where their shape settles a choice that was left open."""
        return self

    def prepare(self, log_potentials: Any) -> Any:
        """From what the user gives to the fields of the program: ordinary differentiable torch. Default: the same."""
        return log_potentials

    def restore(
        self, parts: tuple[Tensor, ...], sizes: dict[str, int], batch: tuple[int, ...]
    ) -> tuple[Tensor, ...] | None:
        """Entries used of the prepared fields `(paths, uses)`, -1 for none, as such of the potentials, as stored.

        Path `p` is of instance `p % prod(batch)`. None, the default: an event goes back through `prepare` as gradients
        do, which needs it dense.
        """
        return None

    @property
    def prepares(self) -> bool:
        """Whether the program's fields are other than the potentials themselves."""
        return type(self).prepare is not Structure.prepare

    @property
    def restores(self) -> bool:
        """Whether entries of the program's fields are known as such of the potentials."""
        return type(self).restore is not Structure.restore

    def label_code(self, sizes: dict[str, int]) -> LabelCode | None:
        """How labels follow from parts, for instances of these sizes; None where the structure has no labels."""
        return None

    def code_on(self, sizes: dict[str, int], device: torch.device) -> LabelCode | None:
        """`label_code`, made on a device, whatever the default one is, so that nothing so large is sent there."""
        if torch.compiler.is_compiling() or torch.get_default_device() == device:
            return self.label_code(sizes)
        with device:
            return self.label_code(sizes)

    def placed(self, fields: tuple[Tensor, ...]) -> tuple[Structure, tuple[Tensor, ...]]:
        """For decoding to labels: a structure and fields `(batch, *event)` whose used parts say all that labels say.

        Default: the same. A structure whose parts are counts may add a field of zeros over places; its label code is
        the one that counts then.
        """
        return self, fields

    def encode(self, labels: Tensor, sizes: dict[str, int], lengths: Tensor) -> Encoded:
        """Labels `(batch, *shape)` -> the entries used of each field `(batch, uses)`, and the labels' faults.

        An entry is the flat index of a part in its field at full (untied) size, -1 for none; `lengths` is
        `(batch, sides)`. `Encoded.of(entries, *faults)`: a fault says which instances form no structure, and why.
        """
        raise UnsupportedQueryError(f"{type(self).__name__} defines no labels; give events")

    def over(self, batch: tuple[int, ...]) -> Structure:
        """The same structure, with the tensors it holds spread over these batch dims. Default: it holds none."""
        return self

    def counts_fit(self, event: tuple[Tensor, ...], lengths: Tensor) -> Tensor | None:
        """Whether a structure with the untied parts of `event (batch, ...)` can use the tied ones so often, `(batch,)`.

        None, the default, where the untied parts settle these counts. `lengths` is `(batch, sides)`.
        """
        return None

    def infeasible_hint(self, sizes: dict[str, int], lengths: tuple[int, ...], instance: int) -> str | None:
        """Why an instance of these lengths has no structure whatever its potentials, and what to do; None if it may.

        It goes into the message of `InfeasibleError`. `instance`: its place in the batch, for tensors that are held.
        """
        return None

    @property
    def event_dims(self) -> tuple[int, ...]:
        """`event_dim` as a tuple, one entry per field."""
        return self.event_dim if isinstance(self.event_dim, tuple) else (self.event_dim,)

    @constant
    def _declared(self) -> Declaration | None:
        """`shapes`, parsed and compared with `event_dim`, as a query asks for it."""
        kept = self._derived()
        if kept.declaration is not None and not kept.asked:
            check_ranks(kept.declaration, type(self).__name__, self.event_dims)
        kept.asked = True
        return kept.declaration

    @property
    def field_names(self) -> tuple[str, ...]:
        if not self.shapes:
            return tuple(f"field{i}" for i in range(len(self.event_dims)))
        if len(self.shapes) != len(self.event_dims) and self.declaration is not None:
            check_ranks(self.declaration, type(self).__name__, self.event_dims)
        return tuple(self.shapes)

    def letters(self, shapes: list[tuple[int, ...]]) -> dict[str, int]:
        """The sizes of the letters for event shapes; without declared shapes, `n` is the first field's first size."""
        for name, shape, rank in zip(self.field_names, shapes, self.event_dims, strict=True):
            if len(shape) != rank:
                raise ShapeError(f"{type(self).__name__} needs {name} with {rank} event dims; got {tuple(shape)}")
        declared = self._declared()
        if declared is None:
            return {"n": shapes[0][0] if shapes[0] else 1}
        return solve(declared, type(self).__name__, shapes, self.sides)

    def full_shapes(self, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """The declared event shapes that belong to stored ones: the same but for tied dims of size 1."""
        declared = self._declared()
        return list(shapes) if declared is None else declared_sizes(declared, self.letters(shapes))

    def to_labels(self, event: Any, lengths: Any = None) -> Tensor:
        """The labels `(*batch, *label_shape)` int64 of an event; slots that the event does not fill hold -1.

        `lengths` is accepted for symmetry: an event is 0 past its length already. Raises `UnsupportedQueryError` where
        the structure has no labels, and `ValueError` for counts of tied parts, which do not say where they stand.
        """
        events = tuple(event) if isinstance(event, (tuple, list)) else (event,)
        this = self.resolve(events)
        dims = this.event_dims
        shapes = [tuple(e.shape[e.dim() - d :]) for e, d in zip(events, dims, strict=True)]
        sizes = this.letters(shapes)
        code = this.code_on(sizes, events[0].device)
        if code is None:
            raise UnsupportedQueryError(f"{type(self).__name__} defines no labels (override label_code and encode)")
        full = this.full_shapes(shapes)
        for name, have, want, part in zip(this.field_names, shapes, full, code.fields, strict=True):
            if part is not None and have != want:
                raise ValueError(f"{name} is tied, so its counts do not determine labels; decode with labels=True")
        batch = events[0].shape[: events[0].dim() - dims[0]]
        flat = tuple(e.reshape(math.prod(batch), math.prod(s)) for e, s in zip(events, shapes, strict=True))
        places = tuple(e.reshape(math.prod(batch), *s) for e, s in zip(events, shapes, strict=True))
        if this.placed(places)[0] is not this:
            raise ValueError("parts are tied over places, so counts do not determine labels; decode with labels=True")
        return code.read(flat).reshape((*batch, *code.shape))

    def from_labels(self, labels: Tensor, like: Any, lengths: Any = None) -> Any:
        """The event of some labels, in the form, shapes and dtype of the log-potentials `like`.

        `labels (*batch, *label_shape)`, integers; what stands past a length is ignored. Raises `ValueError` for labels
        that form no structure, out of range or not, naming the first instance; `ShapeError` for a wrong shape,
        `TypeError` for a wrong dtype.
        """
        given = tuple(like) if isinstance(like, (tuple, list)) else (like,)
        this = self.resolve(given)
        shapes = [tuple(f.shape[f.dim() - d :]) for f, d in zip(given, this.event_dims, strict=True)]
        sizes = this.letters(shapes)
        batch, who = this.label_batch(labels, sizes), type(self).__name__
        labels = on_device(f"{who}: labels", labels, given[0].device)
        bounds = bounds_of(who, lengths, tuple(sizes[x] for x in this.sides), batch, labels.device)
        found = this.label_parts(labels, sizes, shapes, bounds)
        for bad, message in found.faults:
            refuse_where(bad.reshape((*batch, *bad.shape[1:])), message)
        kind, used = common_dtype(given), zip(found.parts, shapes, strict=True)
        out = [dense(entries, shape, kind).reshape((*batch, *shape)) for entries, shape in used]
        if not isinstance(like, (tuple, list)):
            return out[0]
        return type(like)(*out) if hasattr(like, "_fields") else type(like)(out)

    def label_shape(self, sizes: dict[str, int]) -> tuple[int, ...] | None:
        """The shape of the labels of one instance, None where there are none; known once a code has been built."""
        if torch.compiler.is_compiling():  # sizes may be symbols, and what is built is not run
            code = self.label_code(sizes)
            return None if code is None else code.shape
        known = self._derived().label_shapes
        key = tuple(sizes.items())
        if key not in known:
            if len(known) == SHAPES:
                known.clear()
            code = self.label_code(sizes)
            known[key] = None if code is None else code.shape
        return known[key]

    def label_batch(self, labels: Tensor, sizes: dict[str, int]) -> tuple[int, ...]:
        """The batch dims of labels; raises where these are none of this structure at these sizes."""
        shape = self.label_shape(sizes)
        if shape is None:
            raise UnsupportedQueryError(f"{type(self).__name__} defines no labels; give events")
        if labels.is_floating_point() or labels.dtype == torch.bool:
            raise TypeError(f"labels must be integers; got {labels.dtype}")
        rank = labels.dim() - len(shape)
        if rank < 0 or tuple(labels.shape[rank:]) != shape:
            needed = ", ".join(["*batch", *map(str, shape)])
            raise ShapeError(f"{type(self).__name__} labels have shape ({needed}); got {tuple(labels.shape)}")
        return tuple(labels.shape[:rank])

    def label_parts(
        self, labels: Tensor, sizes: dict[str, int], shapes: Sequence[tuple[int, ...]], bounds: Tensor
    ) -> Encoded:
        """What labels use of each field, stored in one of the `shapes`, and their faults, with one batch dim.

        `bounds (B, sides)` are the lengths.
        """
        batch = self.label_batch(labels, sizes)
        flat = labels.reshape(math.prod(batch), *labels.shape[len(batch) :]).to(torch.int64)
        found = self.over(batch).encode(flat, sizes, bounds)
        found = found if isinstance(found, Encoded) else Encoded(found)    # plain entries: it refuses bad labels itself
        full = self.full_shapes(list(shapes))
        parts = tuple(stored(u, f, s) for u, f, s in zip(found.parts, full, shapes, strict=True))
        return Encoded(parts, found.faults)


class DynamicProgram(Structure, Source):
    """A structure given by one program, `inside`: every query follows from it.

    `inside(p, *fields)` fills charts (see `semiring_struct.programs`) for one instance, naming no semiring, no batch
    and no device, and returns the view or expression that holds the total. Its derivations must be its structures,
    one for one: two derivations of the same event would be counted twice.
    """

    @abstractmethod
    def inside(self, p: Recorder, *fields: Expression) -> Expression:
        """The program."""

    @property
    def handle(self) -> str:
        """The text by which machines and compiled graphs refer to this program; the same for equal structures.

        It describes class and recorded settings, of tensors their shapes: see `semiring_struct.programs.description`.
        """
        if not torch.compiler.is_compiling():
            return self._description()
        settings = [x for name in self.recorded_by for x in (name, getattr(self, name))]
        if all(map(is_plain, settings)):
            return described(type(self), True, *[concrete(x) for x in settings])
        self._describe_now()
        return self._kept.text

    def program(self, field_shapes: tuple[tuple[int, ...], ...], lengths: tuple[int, ...]) -> Program:
        """The program recorded for these (prepared) field shapes and full lengths: once, then from a cache."""
        return program_of(self.handle, field_shapes, lengths)

    def record(self, field_shapes: tuple[tuple[int, ...], ...], lengths: tuple[int, ...]) -> Program:
        """The program for these field shapes and full lengths, recorded anew."""
        declared = self.declaration is not None and len(self.field_names) == len(field_shapes)
        names = self.field_names if declared else _parameter_names(self, len(field_shapes))
        recorder = Recorder(type(self).__name__, names, field_shapes, len(self.sides))
        views = [recorder.input(i, a) for i, a in enumerate(_views(self, field_shapes))]
        vars(self).pop(KEPT, None)  # an object made for this recording alone: `inside` may leave notes on it
        try:
            returned = self.inside(recorder, *views)
        except ProgramError as error:
            if 0 not in lengths:
                raise
            raise ShapeError(
                f"{type(self).__name__}.inside does not cover size 0: {error}. Sizes must be at least 1, or `inside` "
                "must return p.one where there is nothing"
            ) from error
        except AttributeError as error:
            if error.obj is not self:
                raise
            raise ProgramError(
                f"{recorder.name}.inside reads self.{error.name}, which is none of the settings that programs are "
                "remembered by. Where it is not misspelt, name it in `recorded_by`"
            ) from error
        except (RuntimeError, NotImplementedError) as error:
            if "meta" not in str(error):
                raise
            raise ProgramError(
                f"{recorder.name}.inside reads the values of a tensor that the structure holds; a program may "
                "depend on its shape only. Bring the values in as a field, in `prepare`"
            ) from error
        program = finish(recorder, returned, lengths)
        if program.answer.out:
            raise ProgramError(
                f"{recorder.name}.inside returned an expression of shape {program.answer.out}; the answer is one "
                "total: sum its dims with `.sum()`, or pick a cell"
            )
        return program


def _views(structure: Structure, shapes: tuple[tuple[int, ...], ...]) -> list[Affine]:
    """Each stored field at its declared sizes: a tied dim (stored with size 1) is a view of stride 0."""
    plain = [Affine.contiguous(s) for s in shapes]
    fits = [len(s) for s in shapes] == list(structure.event_dims)
    if structure.declaration is None or not fits or structure.prepares:
        return plain
    return [_tied(a, size) for a, size in zip(plain, structure.full_shapes(list(shapes)), strict=True)]


def _tied(a: Affine, sizes: tuple[int, ...]) -> Affine:
    strides = tuple(0 if have != want else t for have, want, t in zip(a.sizes, sizes, a.strides, strict=True))
    return Affine(0, sizes, strides)


def _parameter_names(structure: DynamicProgram, count: int) -> tuple[str, ...]:
    code = type(structure).inside.__code__
    names = code.co_varnames[2 : code.co_argcount]
    return names if len(names) == count else tuple(f"field{i}" for i in range(count))
