"""Compiled code kept in files: a folder for each content of a module's sources, a file for each signature.

The folders lie in NUMBA_CACHE_DIR if that is set, else in the user's cache folder: `$XDG_CACHE_HOME/semiring_struct`,
`~/.cache/semiring_struct`, and its like on macOS and Windows. Where that cannot be written, they lie in a folder of the
user's own among temporary files, and failing that nowhere: each process then compiles anew. Nothing here fails a query.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import re
import shutil
import stat
import sys
import tempfile
import warnings
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba.core import config

from semiring_struct.errors import CacheWarning

SETTINGS: Any = config
LOG = logging.getLogger("semiring_struct")
CONTENTS = 8  # folders of one module: those used last
HEAD = b"semiring_struct 1\n"
FLAGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "ENABLE_AVX")
HELP = "NUMBA_CACHE_DIR=FOLDER keeps it in a folder of your choice."
_WARNED: list[str] = []


class Kept:
    """What numba asks for compiled code before it compiles, and hands it to afterwards, for one function."""

    def __init__(self, module: str, name: str, content: str):
        self._module, self._folder, self._name = module, f"{module}-{content}", re.sub(r"\W", "_", name)

    @property
    def cache_path(self) -> str:
        """The folder of the function's module."""
        return str((_room(places())[0] or Path()) / self._folder)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled form for a signature, or None; says once that compilation begins."""
        name = self._file(sig, target_context.codegen())
        for place in filter(_trusted, places()):
            path = place / self._folder / name
            try:
                data = path.read_bytes()
            except OSError:
                continue
            try:
                found = _rebuilt(data, target_context)
            except Exception as error:  # whatever a damaged file makes of itself
                _warn(f"{path} is damaged ({_said(error)}): its function is compiled and written anew.")
                continue
            with contextlib.suppress(OSError):
                os.utime(path.parent)
            return found
        _announce()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled form where there is room for it."""
        place, _ = _room(places())
        if place is None:
            return
        try:
            self._write(place, self._file(sig, data.codegen), _reduced(data))
        except Exception as error:  # a full disk; or numba lays out compiled code in another way: it promises none
            not_kept(_said(error))

    def enable(self) -> None:
        """Numba expects it; there is nothing to switch."""

    def disable(self) -> None:
        """Numba expects it; there is nothing to switch."""

    def flush(self) -> None:
        """Forget all signatures of this content."""
        for place in filter(_trusted, places()):
            shutil.rmtree(place / self._folder, ignore_errors=True)

    def _file(self, sig: Any, codegen: Any) -> str:
        """A name for a signature on a processor under numba's settings."""
        flags = [getattr(SETTINGS, name, None) for name in FLAGS]
        made = sha256(repr((str(sig), codegen.magic_tuple(), flags)).encode())
        return f"{self._name}-{made.hexdigest()[:16]}.nbc"

    def _write(self, place: Path, name: str, body: bytes) -> None:
        """Write beside the path and move there, so that no process ever reads a part."""
        path = place / self._folder / name
        fresh = not path.parent.is_dir()
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f"{name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
            os.replace(beside, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            if os.name != "nt" or not path.is_file():  # Windows moves nothing onto what another process reads
                raise
        if fresh:
            _tidy(place, self._module)


def _reduced(data: Any) -> bytes:
    from numba.core.serialize import dumps

    if data.library.has_dynamic_globals:
        raise ValueError("it holds addresses of this process")
    body = dumps(data._reduce())
    return HEAD + sha256(body).digest() + body


def _rebuilt(data: bytes, target_context: Any) -> Any:
    from numba.core.compiler import CompileResult

    head, body = data[: len(HEAD) + 32], data[len(HEAD) + 32 :]
    if head != HEAD + sha256(body).digest():
        raise ValueError(f"{len(data)} bytes that are not what was written")
    target_context.refresh()
    return CompileResult._rebuild(target_context, *pickle.loads(body))


def places() -> tuple[Path, ...]:
    """Where compiled code may be kept: the stated folder, then one among temporary files."""
    return tuple(place for place in (_stated(), _temporary()) if place)


def _stated() -> Path | None:
    return Path(SETTINGS.CACHE_DIR) if SETTINGS.CACHE_DIR else users()


def users() -> Path | None:
    """The user's cache folder, or None for a user without a home; a home is not made here."""
    variable, usual = {
        "win32": ("LOCALAPPDATA", "AppData/Local"),
        "darwin": ("XDG_CACHE_HOME", "Library/Caches"),
    }.get(sys.platform, ("XDG_CACHE_HOME", ".cache"))
    asked = os.environ.get(variable, "")
    if os.path.isabs(asked):
        return Path(asked) / "semiring_struct"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / usual / "semiring_struct" if home.is_dir() else None


def _temporary() -> Path | None:
    try:
        return Path(tempfile.gettempdir()) / f"semiring_struct-{os.getuid() if hasattr(os, 'getuid') else 'kept'}"
    except OSError:
        return None


def _trusted(place: Path) -> bool:
    """What is read there is run, so a folder among temporary files must be one that nobody else can write."""
    if place != _temporary() or not hasattr(os, "getuid"):
        return True
    try:
        about = place.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o022


@lru_cache(maxsize=8)
def _room(wanted: tuple[Path, ...]) -> tuple[Path | None, str]:
    """The first place that can be written, and why those before it cannot."""
    reasons = [] if _stated() else ["the user has no home"]
    for place in wanted:
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=place).close()
        except OSError as error:
            reasons.append(_said(error))
            continue
        if _trusted(place):
            return place, "; ".join(reasons)
        reasons.append(f"others can write {place}")
    return None, "; ".join(reasons)


def _tidy(place: Path, module: str) -> None:
    """Remove what was compiled from those contents of a module that were not met for longest."""
    with contextlib.suppress(OSError):
        found = [(folder.stat().st_mtime, folder) for folder in place.glob(f"{module}-*")]
        for _, folder in sorted(found, reverse=True)[CONTENTS:]:
            shutil.rmtree(folder, ignore_errors=True)


@lru_cache(maxsize=1)
def _announce() -> None:
    """Say once that compilation begins, and where its results are kept."""
    place, reasons = _room(places())
    LOG.warning(
        "semiring_struct compiles its loops for this processor, each when it is first used, for some seconds to half "
        "a minute; %s. logging.getLogger('semiring_struct').setLevel('ERROR') silences this message.",
        f"they are kept in {place}" if place else "they are not kept",
    )
    if place is None:
        not_kept(reasons)
    elif reasons:
        _warn(f"compiled code is kept in {place}, as long as temporary files are: {reasons}. {HELP}")


def not_kept(reason: str) -> None:
    """Warn that each process compiles anew."""
    _warn(f"compiled code is not kept, so that each process compiles anew: {reason}. {HELP}")


def _warn(message: str) -> None:
    """The first warning of a process is its only one."""
    if not _WARNED:
        _WARNED.append(message)
        warnings.warn(message, CacheWarning, stacklevel=1)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
