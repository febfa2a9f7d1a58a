"""The commands and their options. Nothing heavy is loaded here, so that ``estep --help`` answers at once.

Exit codes: 0 done; 2 wrong usage or data that cannot be used; 3 written, but the fit did not converge; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from estep import __version__
from estep.cli import engine
from estep.cli.models import MODELS, model_lines
from estep.cli.words import BAD, INTERRUPTED, OK, Voice, counts, names

DATA = "CSV, Parquet, Arrow (.arrow, .feather), JSON lines, a DuckDB database, or a quoted pattern such as 'part-*.parquet'"
CODES = "exit codes: 0 done, 2 wrong usage or data, 3 did not converge, 130 interrupted"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = build_parser().parse_args(given)
    options.arguments = given
    if getattr(options, "data", "") is None and options.query is None:
        return Voice(json=options.json).failed(f"give DATA or --query (see estep {options.command} --help)", BAD)
    voice = Voice(quiet=options.quiet, json=options.json)
    try:
        with _terminated_as_interrupted():
            return int(importlib.import_module(f"estep.cli.{options.command}").run(options, voice))
    except KeyboardInterrupt:
        return voice.failed("interrupted", INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (ValueError, ArithmeticError, TypeError, ImportError, OSError) as error:
        return voice.failed(str(error) or type(error).__name__, BAD)


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """A shutdown ends a fit as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = _Parser(
        prog="estep",
        description="Mixture models and other latent-variable models by expectation-maximisation.",
        epilog=f"example: estep fit flowers.csv --components 1:9 --out flowers\n\n{CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"estep {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name, (about, example, add) in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog=f"{example}\n\n{CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add(sub)
        sub.add_argument("--json", action="store_true", help="print one JSON document; everything else goes to stderr")
        sub.add_argument("--quiet", action="store_true", help="no progress and no notes")
    return parser


class _Parser(argparse.ArgumentParser):
    """An error is one line and a pointer to the help."""

    def error(self, message: str) -> Any:
        self.exit(BAD, f"error: {message} (see {self.prog} --help)\n")


def _data(parser: argparse.ArgumentParser, position: str = "DATA") -> None:
    group = parser.add_argument_group("data")
    group.add_argument("data", metavar=position, nargs="?", help=f"{DATA}; may be left out where --query names its files")
    group.add_argument("--query", metavar="SQL", help="rows of a query in DuckDB's SQL; DATA is the table 'data' in it")
    group.add_argument("--columns", type=names, metavar="A,B", help="columns to use (default: all that have no other part)")
    group.add_argument("--exclude", type=names, metavar="A,B", default=(), help="columns to leave out")
    group.add_argument("--id", metavar="COLUMN", help="column that names the rows")
    group.add_argument("--encoding", metavar="NAME", help="of a CSV that is not UTF-8, such as latin-1")
    group.add_argument("--decimal", metavar="SIGN", default=".", choices=(".", ","), help="decimal sign in a CSV")
    header = group.add_mutually_exclusive_group()
    header.add_argument(
        "--header", dest="header", action="store_true", default=None, help="the first line of a CSV holds names"
    )
    header.add_argument("--no-header", dest="header", action="store_false", help="the first line of a CSV holds values")


def _rows(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("rows")
    group.add_argument("--weights", metavar="COLUMN", help="how often each row was seen")
    group.add_argument("--labels", metavar="COLUMN", help="classes that are known; empty or -1 where unknown")
    group.add_argument(
        "--group", metavar="COLUMN", help="group of each row: components are shared, weights are each group's own"
    )


def _model(parser: argparse.ArgumentParser, several: bool = False) -> None:
    group = parser.add_argument_group("model")
    words = "one or more of" if several else "one of"
    group.add_argument(
        "--model", type=names if several else str, default=None, metavar="NAME", help=f"{words} {', '.join(MODELS)}"
    )
    group.add_argument(
        "--column", action="append", default=[], metavar="NAME=FAMILY", help="family of one column; implies --model auto"
    )
    group.add_argument("--formula", metavar="TEXT", help="regressions: such as 'y ~ x + z'; implies --model regression")
    group.add_argument(
        "--components", type=counts, metavar="K", help="3, or 1:9, or 2,4,6; the best by --criterion (default 1:9)"
    )
    group.add_argument(
        "--covariance", type=names, metavar="NAMES", help="all, or some of full,tied,diag,EII...VVV (default all)"
    )
    group.add_argument(
        "--criterion", default="bic", choices=("bic", "aic", "icl", "icl_entropy"), help="lower is better (default bic)"
    )
    group.add_argument("--states", type=counts, metavar="K", help="hmm: numbers of states, as --components (default 1:5)")
    group.add_argument("--emission", metavar="NAME", help="hmm: law of a row in a state, such as poisson (default gaussian)")
    group.add_argument("--time", metavar="COLUMN", help="hmm: time of each row; steps without a row are missing")
    group.add_argument("--noise", action="store_true", help="gaussian: add a uniform noise component")
    group.add_argument("--prior", default="auto", choices=("auto", "default", "none"), help="none is strict maximum likelihood")
    group = parser.add_argument_group("algorithm")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the starts (default 0)")
    group.add_argument("--n-init", type=int, metavar="N", help="number of starts (default 10)")
    group.add_argument("--init", metavar="RULE", help="how runs start, such as hierarchical or kmeans++ (default auto)")
    group.add_argument("--algorithm", metavar="NAME", help="em or cem (default em)")
    group.add_argument("--accelerate", metavar="NAME", help="auto, none, squarem, anderson ... (default auto)")
    group.add_argument("--search", metavar="NAME", help="beyond the starts: random_swap, split_merge, greedy or short_runs")
    group.add_argument("--max-iter", type=int, metavar="N", help="cap on passes of a run (default 1000)")
    group.add_argument("--tol", type=float, metavar="X", help="nats per row still to gain at which a run stops (default 1e-8)")
    group.add_argument("--threads", type=int, metavar="N", help="threads (default: every processor)")


def _fit(parser: argparse.ArgumentParser) -> None:
    _data(parser)
    _rows(parser)
    _model(parser)
    engine.add(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--out", metavar="DIR", help="folder for model.safetensors, assignments.parquet and report.html")
    group.add_argument("--force", action="store_true", help="replace files that are there already")
    group.add_argument("--resume", metavar="FILE", help="go on from the checkpoint of a fit that was cut off")


def _predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model.safetensors that fit wrote")
    _data(parser)
    parser.add_argument("--group", metavar="COLUMN", help="group of each row, where the model has groups")
    parser.add_argument("--time", metavar="COLUMN", help="time of each row, where the model is one of sequences (--id)")
    group = parser.add_argument_group("output")
    group.add_argument("--out", metavar="FILE", help="a .parquet, .csv or .jsonl file; without it rows are printed as CSV")
    group.add_argument("--force", action="store_true", help="replace a file that is there already")


def _compare(parser: argparse.ArgumentParser) -> None:
    _data(parser)
    _rows(parser)
    _model(parser, several=True)


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model.safetensors that fit wrote")
    _data(parser)
    parser.add_argument("--time", metavar="COLUMN", help="time of each row, where the model is one of sequences (--id)")
    parser.add_argument("--out", metavar="FILE", default="report.html", help="where to write it (default report.html)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there already")


def _motif(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sequences", metavar="SEQUENCES", help="a FASTA file (also .gz), or a Stockholm file")
    group = parser.add_argument_group("motif")
    group.add_argument("--width", metavar="W", default="8", help="12, or 8:24; the best by --criterion (default 8)")
    laws = ("one", "at-most-one", "any", "any-(windows)", "oops", "zoops", "anr", "tcm")
    group.add_argument("--sites", default="one", choices=laws, help="sites of a sequence (default one)")
    group.add_argument("--motifs", type=int, default=1, metavar="N", help="motifs, one after another (default 1)")
    group.add_argument("--both-strands", action="store_true", help="sites may lie on the other strand")
    group.add_argument("--palindrome", action="store_true", help="the motif equals its reversed complement")
    group.add_argument("--criterion", default="bic", choices=("bic", "aic"), help="chooses the width (default bic)")
    group.add_argument("--alphabet", default="auto", metavar="NAME", help="dna, rna, protein, or the letters (default auto)")
    group.add_argument("--mask-lower", action="store_true", help="no site may lie on letters in lower case")
    group.add_argument("--shuffles", type=int, default=0, metavar="N", help="also search N shuffles of the letters: a p-value")
    group = parser.add_argument_group("algorithm")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the starts (default 0)")
    group.add_argument("--n-init", type=int, metavar="N", help="words to begin with (default 20)")
    group.add_argument("--max-iter", type=int, metavar="N", help="cap on passes of a run (default 1000)")
    group.add_argument("--tol", type=float, metavar="X", help="nats a letter still to gain at which a run stops (default 1e-8)")
    group.add_argument("--threads", type=int, metavar="N", help="threads (default: every processor)")
    group = parser.add_argument_group("output")
    group.add_argument("--out", metavar="DIR", help="folder for motifs.meme, sites.csv and logo.svg")
    group.add_argument("--force", action="store_true", help="replace files that are there already")


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", help="also write what fit writes to this folder")
    parser.add_argument("--force", action="store_true", help="replace files that are there already")


FIT_EXAMPLE = f"""example: the best of 1 to 9 components and 14 covariance structures by BIC, with a report
  estep fit flowers.csv --exclude species --components 1:9 --covariance all --out flowers

example: weighted rows, classes known for some, three components, one structure
  estep fit people.parquet --columns height,mass --weights times --labels sex --components 3 --covariance VVV --out people

models
{model_lines()}"""

COMMANDS: dict[str, tuple[str, str, Any]] = {
    "fit": ("fit a model, or choose one, and write model, classes and report", FIT_EXAMPLE, _fit),
    "predict": (
        "classes of rows under a fitted model",
        "example: classes of new rows, with their probabilities\n"
        "  estep predict flowers/model.safetensors new.csv --id plant --out classes.parquet",
        _predict,
    ),
    "compare": (
        "a table of models by a criterion, without writing any",
        "example: which covariance structure, and how many components?\n"
        "  estep compare flowers.csv --exclude species --components 1:6 --covariance EII,VVI,VVV --criterion icl",
        _compare,
    ),
    "report": (
        "a self-contained HTML page about a fitted model",
        "example: the page about a model and the rows it was fitted to\n"
        "  estep report flowers/model.safetensors flowers.csv --out flowers.html",
        _report,
    ),
    "motif": (
        "motifs in a file of sequences: matrix, sites and logo",
        "example: the best width from 8 to 24, sites on both strands, not in every promoter\n"
        "  estep motif promoters.fasta --width 8:24 --sites at-most-one --both-strands --out motif",
        _motif,
    ),
    "demo": ("a tour with the data of the Old Faithful geyser", "example: estep demo --out geyser", _demo),
}
