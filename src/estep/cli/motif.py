"""``estep motif``: find motifs in a file of sequences, say what they are, write matrix, sites and logo."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from estep.cli.reading import warnings_as_notes
from estep.cli.words import OK, UNFINISHED, Voice
from estep.cli.writing import free_places

MATRIX, SITES, LOGO = "motifs.meme", "sites.csv", "logo.svg"
FINE_PRINT = "nothing was written; --out DIR keeps the motifs in MEME's format, the table of sites and the logo"


def run(options: Any, voice: Voice) -> int:
    """The command; gives its exit code."""
    drawn = importlib.util.find_spec("matplotlib") is not None
    if options.shuffles < 0:
        raise ValueError(f"--shuffles must be 0 or more, got {options.shuffles}")
    if options.out:
        free_places(Path(options.out), [MATRIX, SITES, *([LOGO] if drawn else [])], options.force)
    with warnings_as_notes(voice):
        fitted = _fitted(options)
        written = _write(fitted, options, voice, drawn) if options.out else {}
        test = fitted.shuffle_test(Path(options.sequences), n_shuffles=options.shuffles) if options.shuffles else None
    if not voice.json:
        voice.out(f"{fitted.summary()}\n")
        if test is not None:
            voice.out(f"shuffled     {test}\n")
    for what, path in written.items():
        voice.out(f"{what:12} {path}")
    if not options.out:
        voice.say(FINE_PRINT)
    voice.document(_content(fitted, written, test))
    return OK if fitted.converged_ else UNFINISHED


def _fitted(options: Any) -> Any:
    from estep.estimators.motif import MotifFinder

    settings = {name: getattr(options, name) for name in ("n_init", "max_iter", "tol") if getattr(options, name) is not None}
    finder = MotifFinder(
        options.width,
        sites=options.sites.replace("-", " "),
        n_motifs=options.motifs,
        strands="both" if options.both_strands else "forward",
        palindrome=options.palindrome,
        alphabet=options.alphabet,
        mask="lower" if options.mask_lower else None,
        criterion=options.criterion,
        random_state=options.seed,
        n_jobs=options.threads,
        progress=not options.quiet and sys.stderr.isatty(),
        **settings,
    )
    return finder.fit(Path(options.sequences))


def _write(fitted: Any, options: Any, voice: Voice, drawn: bool) -> dict[str, str]:
    """Write what was found; gives the places by what they hold."""
    from estep.core.files import write_whole
    from estep.data.meme import write_meme

    folder = Path(options.out)
    write_meme(folder / MATRIX, [each.pwm for each in fitted.motifs_])
    tables = [each.sites.to_csv() for each in fitted.motifs_]
    first, *rest = tables
    lines = [f"motif,{first.splitlines()[0]}"]
    for each, table in zip(fitted.motifs_, [first, *rest], strict=True):
        lines += [f"{each.pwm.name},{line}" for line in table.splitlines()[1:]]
    write_whole(folder / SITES, ("\n".join(lines) + "\n").encode())
    written = {"motifs": str(folder / MATRIX), "sites": str(folder / SITES)}
    if not drawn:
        voice.note("no logo: it needs matplotlib (pip install 'estep[plot]')")
        return written
    fitted.plot().savefig(folder / LOGO)
    return {**written, "logo": str(folder / LOGO)}


def _content(fitted: Any, written: dict[str, str], test: Any) -> dict[str, Any]:
    return {
        "command": "motif",
        "letters": list(fitted.letters_),
        "log_likelihood": fitted.log_likelihood_,
        "converged": bool(fitted.converged_),
        "certificate": fitted.result_.certificate,
        "widths": fitted.widths_,
        "motifs": [
            {
                "name": each.pwm.name,
                "consensus": each.pwm.consensus,
                "width": each.pwm.width,
                "bits": float(each.pwm.information.sum()),
                "expected_sites": each.n_sites,
                "bic": each.bic,
                "evalue": each.significance.evalue,
                "log_evalue": each.significance.log_evalue,
                "status": each.result.status.name.lower(),
                "sites": list(each.sites.rows()),
            }
            for each in fitted.motifs_
        ],
        **({} if test is None else {"shuffles": len(test.shuffled), "shuffled_pvalue": test.pvalue}),
        "files": written,
    }
