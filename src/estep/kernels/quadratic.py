"""Quadratic forms of rows and weighted sums of their products, without ever writing the products down.

For rows z (columns of z, (d, n)) and coefficients eta_g = (c, l_1..l_d, q_11, q_12, .., q_dd) of every component g:

    forms    out[g, r] = c + sum_i z_i (l_i + sum_{j>=i} q_ij z_j)
    sums     out[g]    = sum_r w[g, r] (1, z_1..z_d, z_1 z_1, z_1 z_2, .., z_d z_d)

These are the matrix products eta F and w F' with the features F = (1, z, z z'), which for d columns are d (d + 3) / 2 + 1 rows
that a matrix product would have to write, pack and read again: here a product of two columns lives in a register. The inner
loops are vector instructions for LANES doubles (the host's width), GROUP components at a time, so that every value loaded
serves several multiplications; what is left over goes one component, or one row, at a time. Sums over rows run over TILE
rows in LANES partial sums each.

``kernels/reference.py`` has the twins, which stand in where NUMBA_DISABLE_JIT is set. Importing this module imports numba:
do so on first use.

symbol   variable   shape
z        z          (d, n)
eta      eta        (k, 1 + d + d (d + 1) / 2)
w        weight     (k, n)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from estep.core.record import Array
from estep.kernels.lazy import compiled
from estep.kernels.reference import quadratic_forms_reference, quadratic_sums_reference

INTERPRETED = bool(getattr(config, "DISABLE_JIT", 0))
LANES = 8 if dict(binding.get_host_cpu_features()).get("avx512f") else 4
TILE = 256
SHORTEST = 2 * LANES

_double, _integer = ir.DoubleType(), ir.IntType(64)
_vector = ir.VectorType(_double, LANES)
_zeros = ir.Constant(_vector, [0.0] * LANES)
Values = list[Any]


def _data(context: Any, builder: Any, signature: Any, args: Any, at: int) -> Any:
    return make_array(signature.args[at])(context, builder, args[at]).data  # type: ignore[no-untyped-call]


def _load(builder: Any, pointer: Any, index: Any) -> Any:
    return builder.load(builder.bitcast(builder.gep(pointer, [index]), _vector.as_pointer()), align=8)


def _store(builder: Any, value: Any, pointer: Any, index: Any) -> None:
    builder.store(value, builder.bitcast(builder.gep(pointer, [index]), _vector.as_pointer()), align=8)


def _spread(builder: Any, pointer: Any, index: Any) -> Any:
    """LANES copies of one number."""
    undefined = ir.Constant(_vector, ir.Undefined)
    first = builder.insert_element(undefined, builder.load(builder.gep(pointer, [index])), ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_vector, [_vector] * 3)
    fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f64")  # type: ignore[no-untyped-call]
    return builder.call(fma, [a, b, c])


def _total(builder: Any, value: Any) -> Any:
    """Sum of the lanes, pairwise."""
    kind = ir.FunctionType(_double, [_double, _vector])
    name = f"llvm.vector.reduce.fadd.v{LANES}f64"
    add = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
    return builder.call(add, [ir.Constant(_double, -0.0), value], fastmath=("reassoc",))


def _least(builder: Any, p: Any, q: Any) -> Any:
    return builder.select(builder.icmp_signed("<", p, q), p, q)


def _count(builder: Any, start: Any, stop: Any, carried: Values, body: Callable[[Any, Values], Values]) -> Values:
    """``for i in range(start, stop): carried = body(i, carried)`` with the carried values in registers."""
    before = builder.block
    head, inside, after = (builder.append_basic_block(name) for name in ("head", "inside", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    i = builder.phi(_integer)
    i.add_incoming(start, before)
    now = [builder.phi(value.type) for value in carried]
    for phi, value in zip(now, carried, strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", i, stop), inside, after)
    builder.position_at_end(inside)
    then = body(i, now)
    i.add_incoming(builder.add(i, _integer(1)), builder.block)
    for phi, value in zip(now, then, strict=True):
        phi.add_incoming(value, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return now


def _forms_of(group: int, vectors: int) -> Any:
    """Micro-kernel: ``group`` forms of ``vectors * LANES`` rows from ``at``; coefficients in the order of ``packed``."""

    @intrinsic
    def forms(typing: Any, z: Any, at: Any, ld: Any, d: Any, eta: Any, first: Any, out: Any, to: Any, step: Any) -> Any:
        signature = types.void(z, types.int64, types.int64, types.int64, eta, types.int64, out, types.int64, types.int64)

        def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
            z, eta, out = (_data(context, b, signature, args, i) for i in (0, 4, 6))
            at, ld, d, first, to, step = (args[i] for i in (1, 2, 3, 5, 7, 8))

            def rows(i: Any) -> Values:
                base = b.add(at, b.mul(i, ld))
                return [_load(b, z, b.add(base, _integer(LANES * v))) for v in range(vectors)]

            def coefficients(p: Any) -> Values:
                return [_spread(b, eta, b.add(p, _integer(g))) for g in range(group)]

            def times(a: Values, x: Values, into: Values) -> Values:
                return [_multiply_add(b, a[g], x[v], into[g * vectors + v]) for g in range(group) for v in range(vectors)]

            def column(i: Any, carried: Values) -> Values:
                start = [c for c in coefficients(carried[0]) for _ in range(vectors)]

                def partner(j: Any, carried: Values) -> Values:
                    return [b.add(carried[0], _integer(group)), *times(coefficients(carried[0]), rows(j), carried[1:])]

                p, *inner = _count(b, i, d, [b.add(carried[0], _integer(group)), *start], partner)
                x = rows(i)
                return [
                    p,
                    *(_multiply_add(b, x[g % vectors], t, s) for g, (t, s) in enumerate(zip(inner, carried[1:], strict=True))),
                ]

            start = [c for c in coefficients(first) for _ in range(vectors)]
            _, *total = _count(b, _integer(0), d, [b.add(first, _integer(group)), *start], column)
            for g in range(group):
                for v in range(vectors):
                    _store(b, total[g * vectors + v], out, b.add(b.add(to, b.mul(_integer(g), step)), _integer(v * LANES)))
            return context.get_dummy_value()

        return signature, generate

    return forms


def _sums_of(group: int, columns: int) -> Any:
    """Micro-kernel: sums over ``m`` vectors of rows of w z_i z_j for ``group`` components, j to j + columns - 1."""

    @intrinsic
    def sums(
        typing: Any,
        z: Any,
        at: Any,
        ld: Any,
        i: Any,
        j: Any,
        w: Any,
        first: Any,
        lw: Any,
        last: Any,
        m: Any,
        out: Any,
        to: Any,
        step: Any,
    ) -> Any:
        n = types.int64
        signature = types.void(z, n, n, n, n, w, n, n, n, n, out, n, n)

        def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
            z, w, out = (_data(context, b, signature, args, k) for k in (0, 5, 10))
            at, ld, i, j, first, lw, last, m, to, step = (args[k] for k in (1, 2, 3, 4, 6, 7, 8, 9, 11, 12))

            left = b.add(at, b.mul(i, ld))
            right = [b.add(at, b.mul(b.add(j, _integer(c)), ld)) for c in range(columns)]
            weights = [b.add(first, b.mul(_least(b, _integer(g), last), lw)) for g in range(group)]

            def rows(v: Any, total: Values) -> Values:
                off = b.mul(v, _integer(LANES))
                x = _load(b, z, b.add(left, off))
                products = [b.fmul(x, _load(b, z, b.add(c, off))) for c in right]
                new = []
                for g in range(group):
                    weight = _load(b, w, b.add(weights[g], off))
                    new += [_multiply_add(b, weight, p, total[g * columns + c]) for c, p in enumerate(products)]
                return new

            total = _count(b, _integer(0), m, [_zeros] * (group * columns), rows)
            for g in range(group):
                for c in range(columns):
                    target = b.gep(out, [b.add(b.add(to, b.mul(_integer(g), step)), _integer(c))])
                    b.store(b.fadd(b.load(target), _total(b, total[g * columns + c])), target)
            return context.get_dummy_value()

        return signature, generate

    return sums


_forms_eight, _forms_four = _forms_of(8, 2), _forms_of(4, 2)
_sums_eight, _sums_eight_last = _sums_of(8, 3), _sums_of(8, 1)
_sums_four, _sums_four_last = _sums_of(4, 3), _sums_of(4, 1)


@compiled
def _fill_forms(z: Array, eta: Array, width: int, d: int, n: int, eights: int, fours: int, out: Array) -> None:
    for block in range(0, n, 2 * LANES):
        at = min(block, n - 2 * LANES)
        for g in range(eights):
            _forms_eight(z, at, n, d, eta, g * 8 * width, out, g * 8 * n + at, n)
        for g in range(fours):
            p = eights * 8 + g * 4
            _forms_four(z, at, n, d, eta, p * width, out, p * n + at, n)


@compiled
def _add_sums(z: Array, weight: Array, d: int, n: int, k: int, eights: int, fours: int, width: int, out: Array) -> None:
    for at in range(0, n, TILE):
        rows = min(TILE, n - at)
        m = rows // LANES
        for g in range(eights):
            p, f = g * 8, 0
            for i in range(d + 1):
                j = i
                while j + 3 <= d + 1:
                    _sums_eight(z, at, n, i, j, weight, p * n + at, n, k - 1 - p, m, out, p * width + f, width)
                    j, f = j + 3, f + 3
                while j < d + 1:
                    _sums_eight_last(z, at, n, i, j, weight, p * n + at, n, k - 1 - p, m, out, p * width + f, width)
                    j, f = j + 1, f + 1
        for g in range(fours):
            p, f = eights * 8 + g * 4, 0
            for i in range(d + 1):
                j = i
                while j + 3 <= d + 1:
                    _sums_four(z, at, n, i, j, weight, p * n + at, n, k - 1 - p, m, out, p * width + f, width)
                    j, f = j + 3, f + 3
                while j < d + 1:
                    _sums_four_last(z, at, n, i, j, weight, p * n + at, n, k - 1 - p, m, out, p * width + f, width)
                    j, f = j + 1, f + 1
        for r in range(at + m * LANES, at + rows):
            for p in range(k):
                f = p * width
                for i in range(d + 1):
                    product = weight[p * n + r] * z[i * n + r]
                    for j in range(i, d + 1):
                        out[f] += product * z[j * n + r]
                        f += 1


def quadratic_forms(z: Array, eta: Array) -> Array:
    """``eta F`` for z (1 + d, n) whose first row is ones, eta (k, width); n at least SHORTEST; (k, n)."""
    if INTERPRETED:
        return quadratic_forms_reference(z, eta)
    d, n = z.shape[0] - 1, z.shape[1]
    k, width = eta.shape
    eights, fours, room = _groups(k)
    packed = np.zeros((room, width))
    packed[:k] = eta[:, _order(d)]
    parts = (packed[: 8 * eights].reshape(-1, 8, width), packed[8 * eights :].reshape(-1, 4, width))
    coefficients = np.concatenate([part.transpose(0, 2, 1).ravel() for part in parts])
    out = np.empty((room, n))
    _fill_forms(z[1:].reshape(-1), coefficients, width, d, n, eights, fours, out.reshape(-1))
    return out[:k]


def quadratic_sums(z: Array, weight: Array) -> Array:
    """``w F'`` for z (1 + d, n) whose first row is ones, weight (k, n); (k, width)."""
    if INTERPRETED:
        return quadratic_sums_reference(z, weight)
    d, n = z.shape[0] - 1, z.shape[1]
    k, width = len(weight), (d + 1) * (d + 2) // 2
    eights, fours, room = _groups(k)
    out = np.zeros((room, width))
    _add_sums(z.reshape(-1), np.ascontiguousarray(weight).reshape(-1), d, n, k, eights, fours, width, out.reshape(-1))
    return out[:k]


def _groups(k: int) -> tuple[int, int, int]:
    """Groups of eight, groups of four (at most one), and components with those that fill the last group."""
    eights, rest = divmod(k, 8)
    eights, fours = (eights + 1, 0) if rest > 4 else (eights, int(rest > 0))
    return eights, fours, 8 * eights + 4 * fours


_orders: dict[int, Any] = {}


def _order(d: int) -> Any:
    """Columns of eta as ``forms`` reads them: c, then for each i its linear and its quadratic coefficients."""
    if d not in _orders:
        quadratic, found = 1 + d, [0]
        for i in range(d):
            found += [1 + i, *range(quadratic, quadratic + d - i)]
            quadratic += d - i
        _orders[d] = np.array(found)
    return _orders[d]
