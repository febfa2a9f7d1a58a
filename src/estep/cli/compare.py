"""``estep compare``: every model and number of components by one criterion, in one table."""

from __future__ import annotations

from typing import Any

from estep.cli.choosing import Plan, fitted, model_name, plan, table_of
from estep.cli.models import kind_of
from estep.cli.progress import Progress
from estep.cli.reading import Given, in_memory, read, warnings_as_notes
from estep.cli.words import OK, Voice
from estep.engine.ledger import Ledger

Cells = dict[tuple[int, str], float]


def run(options: Any, voice: Voice) -> int:
    """The command; gives its exit code."""
    names = options.model or (model_name(options),)
    if unranked := [name for name in names if not kind_of(name).ranked]:
        raise ValueError(f"--model {unranked[0]} has no criterion to be compared by")
    with warnings_as_notes(voice):
        given = read(options, voice, texts=any(kind_of(name).texts for name in names))
        given = in_memory(given) if options.formula else given
        plans = [plan(name, _only_its_own(options, name), given, voice) for name in names]
        if len({bool(getattr(getattr(p.estimator, "family", None), "discrete", False)) for p in plans}) > 1:
            voice.note(
                "probabilities of counts and densities are compared; that is fair for whole numbers, and for nothing else"
            )
        found = _all(plans, options, given, voice)
    cells = {(k, column): value for rows in found.values() for (k, column), value in _cells(rows, options.criterion).items()}
    voice.out(_text(cells, options.criterion))
    best = min((pair for pair in cells.items() if pair[1] == pair[1]), key=lambda pair: pair[1])
    (k, column), value = best
    voice.out(f"\nbest: {column} with {k} components, {options.criterion} {value:.4f} (lower is better)")
    voice.document(
        {
            "command": "compare",
            "criterion": options.criterion,
            "rows": given.data.n_rows,
            "left_out": list(given.left_out),
            "tables": found,
            "best": {"model": column, "components": k, options.criterion: value},
        }
    )
    return OK


def _only_its_own(options: Any, name: str) -> Any:
    """The options without those that this model does not have and another one does."""
    import argparse

    mine = argparse.Namespace(**vars(options))
    if not kind_of(name).covariances:
        mine.covariance, mine.noise = None, False
    return mine


def _all(plans: list[Plan], options: Any, given: Given, voice: Voice) -> dict[str, list[dict[str, Any]]]:
    """The table of every model, its columns named after the covariance structure or the model."""
    progress = Progress(sum(p.fits for p in plans), shown=not voice.quiet)
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        for todo in plans:
            todo.estimator._ledger = Ledger(told=progress.told, place=f"{todo.name} " if len(plans) > 1 else "")
            try:
                estimator, selection = fitted(todo, options, given)
            except ValueError as error:
                if len(plans) == 1:
                    raise
                voice.note(f"{todo.name} could not be fitted: {error}")
                found[todo.name] = []
                continue
            rows = [_single(todo, estimator, options, given)] if selection is None else table_of(selection)
            column = todo.name if len(plans) > 1 else ""
            found[todo.name] = [_named(todo, row, column) for row in rows]
    finally:
        progress.close()
    return found


def _single(todo: Plan, estimator: Any, options: Any, given: Given) -> dict[str, Any]:
    settings = {name: getattr(estimator, name) for name in todo.grid}
    result = estimator.result_
    return {
        **settings,
        options.criterion: getattr(estimator, options.criterion)(given.X, **given.row),
        "log_likelihood": result.loglik,
        "free_parameters": result.n_free,
        "status": result.status.name.lower(),
        "message": result.message,
        "usable": bool(result.converged),
    }


def _named(todo: Plan, row: dict[str, Any], model: str) -> dict[str, Any]:
    structure = row.get("covariance_type", "")
    return {"column": f"{model} {structure}".strip() or todo.name, "components": row[todo.kind.count], **row}


def _cells(rows: list[dict[str, Any]], criterion: str) -> Cells:
    return {(row["components"], row["column"]): row[criterion] if row["usable"] else float("nan") for row in rows}


def _text(cells: Cells, criterion: str) -> str:
    """Components down, models across; a dash where no fit could be used, a star at the best."""
    across, down = list(dict.fromkeys(c for _, c in cells)), sorted({k for k, _ in cells})
    usable = [value for value in cells.values() if value == value]
    if not usable:
        raise ValueError("no fit could be used; try fewer components, simpler structures or --prior default")
    lines = [f"{criterion}, lower is better; * is the best, - could not be used", ""]
    width = max(12, *(len(c) + 2 for c in across))
    per_line = max(1, (100 - 6) // width)
    for at in range(0, len(across), per_line):
        part = across[at : at + per_line]
        lines.append("     k" + "".join(column.rjust(width) for column in part))
        lines += [f"{k:6d}" + "".join(_shown(cells.get((k, c)), min(usable)).rjust(width) for c in part) for k in down]
        lines.append("")
    return "\n".join(lines[:-1])


def _shown(value: float | None, best: float) -> str:
    if value is None:
        return ""
    return "-" if value != value else f"{'*' if value == best else ''}{value:.2f}"
