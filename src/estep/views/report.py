"""A fit as one page of HTML: what was fitted, how it was chosen, what came out, how sure it is, and pictures of it all.

The file stands alone: pictures are inside it, it asks the network for nothing, and its Content-Security-Policy lets it run no
script but the player's. Every text that comes from the data is escaped by the template.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from estep.core.files import write_whole
from estep.core.version import VERSION
from estep.views.estimates import table_of
from estep.views.frames import Frames
from estep.views.player import asset, block, policy
from estep.views.report_pictures import GALLERY, RUN, Picture, picture_of, pictures
from estep.views.table import component_rows, facts_of, read_given
from estep.views.with_rows import with_rows
from estep.views.words import column_names, model_line, warnings_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CELLS = 12


def write_report(
    path: str | Path,
    estimator: Any,
    X: Any,
    *,
    command: str = "",
    selection: Any = None,
    names: str | None = None,
    frames: Frames | None = None,
    errors: Any = None,
    findings: Any = None,
    level: float = 0.95,
    **rows: Any,
) -> Path:
    """Write a fitted mixture, mixture of regressions or hidden Markov model as a self-contained HTML page.

    Parameters
    ----------
    path : str or Path
        The file; it is replaced whole or not at all.
    estimator : fitted estimator
        With ``result_``.
    X : array or DataFrame (n, d), or list of these
        The training rows, for pictures and counts.
    command : str
        What made the fit, shown at the end.
    selection : Selection, optional
        What ``estep.select`` returned, where the model was chosen.
    names : str, optional
        What the data are called, in the title.
    frames : Frames, optional
        The run pass by pass, for the player.
    errors : Errors, optional
        What ``estimator.standard_errors(X)`` returned: adds standard errors and intervals of ``level``.
    findings : Diagnosis, optional
        What ``estimator.diagnose(X)`` returned: adds what was found, with remedies, and what was checked.
    **rows
        What else the fit was given with the rows: of regressions ``y`` and ``offset``; ``by``; of hidden Markov models
        ``sequence``, ``lengths``, ``time`` and ``covariates``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        Where ``rows`` do not belong to the estimator, or the responses of a regression are missing.
    ImportError
        Where jinja2 or matplotlib is missing, naming what to install.
    """
    path = Path(path)
    told: dict[str, Any] = {"command": command, "selection": selection, "names": names, "frames": frames}
    write_whole(path, report_html(estimator, X, **told, errors=errors, findings=findings, level=level, **rows).encode())
    return path


def report_html(
    estimator: Any,
    X: Any,
    *,
    command: str = "",
    selection: Any = None,
    names: str | None = None,
    frames: Frames | None = None,
    errors: Any = None,
    findings: Any = None,
    level: float = 0.95,
    **rows: Any,
) -> str:
    """The page as text; arguments as for ``write_report``."""
    from markupsafe import Markup

    estimator, X = with_rows(estimator, X, **rows)
    style, script = asset("page.css") + asset("player.css"), asset("player.js") if frames is not None else ""
    seen = _given(estimator, X)
    header, lines, shared = component_rows(estimator, seen)
    run, gallery = list(pictures(RUN, estimator, X)), list(pictures(GALLERY, estimator, X))
    chosen = None if selection is None else picture_of(lambda: _curves(selection), _about_selection(selection), "", 0)
    return str(
        _template().render(
            policy=Markup(policy([style], [script] if script else [])),
            style=Markup(style),
            script=Markup(script),
            title=f"{names}: {model_line(estimator)}" if names else model_line(estimator),
            lead=_lead(estimator, len(X)),
            notes=warnings_of(estimator),
            facts=facts_of(estimator, seen),
            cells=None if selection is None else cells_of(selection),
            estimates=None if errors is None else _estimates(estimator, errors, level),
            findings=None if findings is None else _findings(findings),
            components={"header": header, "rows": lines, "shared": [line for line in shared if line]},
            pictures={"selection": chosen},
            gallery=gallery,
            run={"pictures": run, "told": estimator.result_.told()},
            player=None if frames is None else Markup(block(frames)),
            command=command,
            sections=_sections(
                notes=bool(warnings_of(estimator)),
                findings=findings is not None,
                selection=selection is not None,
                estimates=errors is not None,
                pictures=bool(gallery),
                animation=frames is not None,
            ),
            made=f"Made with estep {VERSION}. Log-likelihoods are in nats; lower BIC, AIC and ICL are better.",
        )
    )


def _template() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise ImportError(
            "write_report fills its page with jinja2, which is not installed: pip install estep[report]"
        ) from None
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.globals["figure"] = _figure
    return environment.from_string(asset("report.html.j2"))


def _figure(picture: Picture) -> Any:
    from markupsafe import Markup

    words = Markup('<figure><img class="plot" src="{}" alt="{}"><figcaption>{}</figcaption></figure>')
    return words.format(picture.source, picture.alt, picture.caption)


def _given(estimator: Any, X: Any) -> Any:
    return read_given(estimator, X) if hasattr(estimator, "icl") else None


def _lead(estimator: Any, n: int) -> str:
    names = column_names(estimator)
    told = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return f"{n:,} rows of {len(names)} column{'s' if len(names) != 1 else ''} ({told})."


SECTIONS = (
    ("notes", "Read this first"),
    ("findings", "What was checked"),
    ("fit", "The fit"),
    ("selection", "How it was chosen"),
    ("components", "Components"),
    ("estimates", "Estimates"),
    ("pictures", "Pictures"),
    ("animation", "Pass by pass"),
    ("run", "How the run went"),
)
"""Sections of the page: address and title."""


def _sections(**there: bool) -> list[tuple[str, str]]:
    return [(address, title) for address, title in SECTIONS if there.get(address, True)]


def _estimates(estimator: Any, errors: Any, level: float) -> dict[str, Any]:
    """The table of estimates as the page shows it."""
    from markupsafe import Markup

    told = table_of(estimator, errors, level)
    caption = f"Estimates with standard errors ({told.method}) and {100 * level:g} % intervals"
    return {"table": Markup(told.to_html(caption)), "notes": errors.notes}


def _findings(findings: Any) -> dict[str, Any]:
    """The findings as the page shows them."""
    return {
        "found": [(f.severity.name.capitalize(), f.title, f.evidence, f.remedy) for f in findings],
        "checked": ", ".join(findings.checked),
        "skipped": [f"{what}, because {why}" for what, why in findings.skipped],
    }


# --- selection ---


@dataclasses.dataclass(frozen=True)
class CellRow:
    """One line of the selection table."""

    label: str
    cells: list[str]
    best: bool


def cells_of(selection: Any) -> dict[str, Any]:
    """The best fits of a selection as a table, and how many could not be used."""
    usable = sorted((c for c in selection.table if c.usable), key=lambda c: c.criterion)
    rows = [
        CellRow(
            ", ".join(f"{name} {value}" for name, value in c.settings.items()),
            [f"{c.criterion:.2f}", f"{c.log_likelihood:.2f}", str(c.n_free), c.status.split(":")[0]],
            i == 0,
        )
        for i, c in enumerate(usable[:MOST_CELLS])
    ]
    failed = selection.failures
    words = f"{len(failed)} of {len(selection.table)} fits could not be used; the first: {failed[0].message}." if failed else ""
    return {
        "caption": f"The best {len(rows)} of {len(selection.table)} fits by {selection.criterion}; lower is better",
        "header": ["settings", selection.criterion, "log-likelihood", "free parameters", "ended"],
        "rows": rows,
        "failed": words,
    }


def _curves(selection: Any) -> Figure:
    from estep.views.plot import plot_selection

    return plot_selection(selection)


def _about_selection(selection: Any) -> str:
    best = selection.best_cell
    settings = ", ".join(f"{name} {value}" for name, value in best.settings.items())
    return (
        f"{selection.criterion} of every fit against the number of components; the lowest, {best.criterion:.2f}, has {settings}"
    )
