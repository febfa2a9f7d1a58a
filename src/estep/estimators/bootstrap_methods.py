"""Bootstrap standard errors and intervals of a fitted estimator: its rows and settings, handed on."""

from __future__ import annotations

from typing import Any

from estep.core.record import Array
from estep.engine.presets import variant_of
from estep.engine.run import Control
from estep.estimators.clusters import units_of_clusters
from estep.estimators.fitting import seed_of
from estep.estimators.methods import _noisy
from estep.estimators.rows import Arguments
from estep.estimators.seam import read_seen, worth_collapsing
from estep.inference.bootstrap import ENDS, Bootstrap, bootstrap, tell
from estep.inference.resample import Sampled, units_of_sequences


def bootstrap_errors(
    self: Any,
    arguments: Arguments,
    *,
    n_boot: int = 199,
    kind: str = "nonparametric",
    clusters: Any = None,
    block: int | None = None,
    align: bool = True,
    random_state: Any = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> Bootstrap:
    """Standard errors from ``n_boot`` refits that start at the fitted parameters.

    Parameters
    ----------
    n_boot : int
        Refits.
    kind : str
        "nonparametric" (rows with replacement), "weighted" (Dirichlet weights: no row is ever absent), "parametric" (rows drawn
        from the fit, with the gaps of the data) or "blocks" (runs of ``block`` rows, for rows in time order). Of sequences the
        first two take whole ones.
    clusters : array (n,) or None
        Rows of one cluster are drawn together ("nonparametric" and "weighted").
    block : int or None
        Rows of a moving block.
    align : bool
        Whether components of a refit are matched to those of the fit.
    random_state
        Seed; None takes the estimator's.
    n_jobs : int or None
        Processes; the numbers do not depend on it.
    progress : bool
        Show how far it is, and the time left.
    """
    from estep.estimators.inference_methods import reported

    model = self.result_.model
    rows = read_seen(self, arguments)
    if clusters is not None and kind not in ("nonparametric", "weighted"):
        raise ValueError(f"clusters are drawn with kind='nonparametric' or 'weighted', not {kind!r}; leave one out")
    if block is not None and kind != "blocks":
        raise ValueError(f"block={block!r} is for kind='blocks', not {kind!r}; leave one out")
    data = rows.data(1)
    units = None if clusters is None else units_of_clusters(clusters, rows)
    units = units_of_sequences(data.ends) if units is None and data.ends is not None else units
    found = bootstrap(
        model,
        self.result_.params,
        Sampled(data, units, worth_collapsing(model.family, rows), block),
        natural=lambda params: reported(self, params),
        n_boot=n_boot,
        kind=kind,
        seed=seed_of(self.random_state if random_state is None else random_state),
        variant=variant_of(self.algorithm, self.accelerate),
        control=Control(tol=self.tol, max_iter=self.max_iter, catch=False),
        align=align,
        held=int(_noisy(self)),
        n_jobs=n_jobs,
        progress=progress,
    )
    tell(found, 5)
    return found


def bootstrap_interval(
    self: Any, arguments: Arguments, level: float, which: Any, *, method: str, errors: Any = None, **options: Any
) -> dict[str, Array]:
    """Intervals by ``method`` of the bootstrap ``errors``, or of one made with ``options``."""
    if errors is not None and not isinstance(errors, Bootstrap):
        raise ValueError(f"method={method!r} takes errors=standard_errors(X, method='bootstrap'), got {type(errors).__name__}")
    found = bootstrap_errors(self, arguments, **options) if errors is None else errors
    if errors is not None and options:
        raise TypeError(f"method={method!r}: errors are given, so {sorted(options)[0]!r} has no use")
    return found.interval(level, method, which)


def _interval_by(method: str) -> Any:
    def interval(self: Any, arguments: Arguments, level: float, which: Any, **options: Any) -> dict[str, Array]:
        return bootstrap_interval(self, arguments, level, which, method=method, **options)

    return interval


BOOTSTRAP_INTERVALS = {method: _interval_by(method) for method in ENDS}
"""Methods of ``confint`` that refit."""

