"""Fail if a module of the library has more than 400 lines, or a function more than 50.

A function is counted from its ``def`` to its last line, without its docstring: a long explanation is no fault.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 50

Function = ast.FunctionDef | ast.AsyncFunctionDef


def docstring_lines(function: Function) -> int:
    """Lines that the docstring takes, 0 without one."""
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is None or first.end_lineno is None:
        return 0
    return first.end_lineno - first.lineno + 1


def function_lines(function: Function) -> int:
    """Lines from ``def`` to the last line, without the docstring."""
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1 - docstring_lines(function)


def too_long(name: str, source: str) -> Iterator[str]:
    """Sentences about what is too long in one module."""
    lines = len(source.splitlines())
    if lines > FILE_LINES:
        yield f"{name}: {lines} lines, at most {FILE_LINES}: find the seam and make two files"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function) and (length := function_lines(node)) > FUNCTION_LINES:
            yield f"{name}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES}"


def main() -> int:
    """Look at every module under src; 1 if anything is too long."""
    root = Path(__file__).resolve().parents[1]
    modules = sorted((root / "src").rglob("*.py"))
    faults = [fault for path in modules for fault in too_long(str(path.relative_to(root)), path.read_text("utf-8"))]
    print("\n".join(faults) or f"sizes: {len(modules)} modules, none too long")
    return int(bool(faults) or not modules)


if __name__ == "__main__":
    sys.exit(main())
