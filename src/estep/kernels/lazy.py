"""Kernels compiled on first use: importing a module never imports numba, and a kernel always runs.

    compiled(fn)(x) = fn(x)          compiled(fn).reference is fn, the same arithmetic in plain Python

The first call imports numba and decorates ``fn`` with ``njit(nogil=True, cache=True)``. Where nothing can be cached
(a read-only install and no writable home) the kernel is compiled without a cache. With ``NUMBA_DISABLE_JIT`` set to
anything but 0 the plain function runs and numba is not imported at all. A kernel may call another kernel by its
global name: the names are resolved when it is compiled.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar, cast, final, overload

P = ParamSpec("P")
R = TypeVar("R")


@final
class Compiled(Generic[P, R]):
    """A kernel that compiles itself on its first call; ``reference`` is the plain function."""

    def __init__(self, reference: Callable[P, R], options: dict[str, Any]) -> None:
        self.reference = reference
        self.__doc__ = reference.__doc__
        self.__wrapped__ = reference
        self._options = {"nogil": True, "cache": True} | options
        self._lock = threading.RLock()
        self._dispatcher: Callable[P, R] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The value of ``reference`` at the same arguments."""
        if self._dispatcher is None:
            return self._first_call(*args, **kwargs)
        return self._dispatcher(*args, **kwargs)

    def dispatcher(self) -> Callable[P, R]:
        """The decorated function (made now, if this is the first use)."""
        with self._lock:
            if self._dispatcher is None:
                self._dispatcher = self._decorate(self._options)
            return self._dispatcher

    def _first_call(self, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            try:
                return self.dispatcher()(*args, **kwargs)
            except OSError:  # the cache folder was found but could not be written
                self._dispatcher = self._decorate(self._options | {"cache": False})
                return self._dispatcher(*args, **kwargs)

    def _decorate(self, options: dict[str, Any]) -> Callable[P, R]:
        if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
            return self.reference
        njit = importlib.import_module("numba").njit
        source = _with_kernels_resolved(self.reference)
        try:
            return cast("Callable[P, R]", njit(**options)(source))
        except RuntimeError:  # numba found no folder for its cache
            return cast("Callable[P, R]", njit(**(options | {"cache": False}))(source))


def _with_kernels_resolved(fn: Callable[..., Any]) -> Callable[..., Any]:
    """``fn`` with the kernels it calls replaced by what numba can compile against."""
    plain = cast("FunctionType", fn)
    used = {name: plain.__globals__.get(name) for name in plain.__code__.co_names}
    kernels = {name: value.dispatcher() for name, value in used.items() if isinstance(value, Compiled)}
    if not kernels:
        return fn
    twin = FunctionType(plain.__code__, plain.__globals__ | kernels, plain.__name__, plain.__defaults__, plain.__closure__)
    twin.__qualname__, twin.__module__, twin.__doc__ = plain.__qualname__, plain.__module__, plain.__doc__
    twin.__kwdefaults__, twin.__annotations__ = plain.__kwdefaults__, plain.__annotations__
    return twin


@overload
def compiled(fn: Callable[P, R], /) -> Compiled[P, R]: ...
@overload
def compiled(**options: Any) -> Callable[[Callable[P, R]], Compiled[P, R]]: ...
def compiled(fn: Any = None, /, **options: Any) -> Any:
    """A kernel that is compiled by numba on its first call.

    Use it bare or with keywords of ``numba.njit`` (``fastmath=True``, ``boundscheck=True``), which override
    ``nogil=True, cache=True``. ``.reference`` is the undecorated function.

    >>> @compiled(cache=False)
    ... def total(x):
    ...     s = 0.0
    ...     for value in x:
    ...         s += value
    ...     return s
    >>> total.reference([1.0, 2.0])
    3.0
    """
    if fn is None:
        return lambda function: Compiled(function, options)
    return Compiled(fn, options)
