"""Bad files, places and options: one clear line, exit code 2, no traceback, nothing half written."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import estep
from estep.core import files

Run = Callable[..., Any]
SOURCE = str(Path(estep.__file__).parents[1])


def refused(done: Any, words: str) -> None:
    """Code 2, and one line that holds the words."""
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert words in done.err
    assert done.err.count("\n") == 1


FILES = {
    "empty.csv": b"",
    "header.csv": b"x,y\n",
    "text.csv": b"x,y\n1,2\n2,three\n3,4\n",
    "latin.csv": "x,näme\n1,2\n".encode("latin-1"),
    "cut.parquet": b"PAR1 and then nothing",
    "words.csv": b"a,b\nyes,no\nno,no\n",
}
LINES = {
    "fit faithfull.csv": "there is no file faithfull.csv; did you mean faithful.csv?",
    "fit none/data.csv": "there is no file none/data.csv: there is no folder none",
    "fit empty.csv": "empty.csv is empty (0 bytes)",
    "fit header.csv": "header.csv has no rows (its columns: x, y)",
    "fit text.csv": "text.csv: column 'y' holds numbers, but also text: 'three' in row 2;",
    "fit latin.csv": "latin.csv is not in UTF-8: line 1 holds the byte 0xe4; name its encoding, such as latin-1 (--encoding",
    "fit cut.parquet": "cut.parquet: Invalid Input Error: ",
    "fit words.csv": "words.csv has no column of numbers: 'a' (text), 'b' (text); --model latent-class reads text",
    "fit faithful.csv --columns eruption": "faithful.csv has no column 'eruption'; did you mean 'eruptions'?",
    "fit faithful.csv --weights wait": "faithful.csv has no column 'wait'; did you mean 'waiting'?",
    "fit faithful.csv --exclude eruptions,waiting": "faithful.csv has no column left to read",
    "fit faithful.csv --model gausian": "there is no model 'gausian'; did you mean 'gaussian'?",
    "fit faithful.csv --model poisson --covariance VVV": "--model poisson has no --covariance",
    "fit faithful.csv --covariance XYZ --components 2": "XYZ",
    "fit faithful.csv --init somehow --components 2": "init='somehow' is unknown; choose 'auto'",
    "fit faithful.csv --components 2 --covariance VVV --tol -1": "tol must be a number >= 0",
    "fit faithful.csv --resume none": "there is no checkpoint none",
    "fit faithful.csv --resume faithful.csv": "faithful.csv: not a readable estep file",
    "predict none faithful.csv": "there is no file none; a model is the model.safetensors that estep fit --out DIR writes",
    "predict faithful.csv faithful.csv": "faithful.csv: not a readable estep file",
    "report faithful.csv faithful.csv": "faithful.csv: not a readable estep file",
}


@pytest.mark.parametrize("line, words", LINES.items(), ids=LINES.keys())
def test_what_cannot_be_used_is_one_line(line: str, words: str, here: Path, run: Run) -> None:
    for name, content in FILES.items():
        (here / name).write_bytes(content)
    refused(run(line), words)


def test_sql_errors_keep_the_words_of_duckdb(here: Path, run: Run) -> None:
    refused(
        run("fit faithful.csv --query", "SELECT eruption FROM data"), 'Referenced column "eruption" not found in FROM clause'
    )
    refused(run("fit --query", "SELEC 1"), "the query: Parser Error: syntax error at or near")
    refused(run("fit --query", "SELECT * FROM 'none.csv'"), "No files found that match the pattern")


def test_an_error_is_a_document_too(here: Path, run: Run) -> None:
    done = run("fit none.csv --json")
    assert done.code == 2
    assert done.document == {"error": "there is no file none.csv", "exit_code": 2, "notes": []} | {
        "error": done.document["error"]
    }
    assert "there is no file none.csv" in done.document["error"]


def test_latin_1_and_one_column_work(here: Path, run: Run) -> None:
    (here / "latin.csv").write_bytes("größe\n1\n2\n4\n".encode("latin-1"))
    done = run("fit latin.csv --encoding latin-1 --components 1 --json")
    assert done.document["result"]["columns"] == ["größe"]
    assert done.document["result"]["parameters"]["means"] == [[pytest.approx(7 / 3)]]


def table(names: list[str], n: int = 60) -> str:
    """A CSV of two classes, with names quoted as CSV asks."""
    rows = np.random.default_rng(0).normal(size=(n, len(names))) + 3.0 * (np.arange(n) % 2)[:, None]
    quoted = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names]
    return "\n".join([",".join(quoted), *(",".join(f"{v:.4f}" for v in row) for row in rows)]) + "\n"


def test_three_hundred_columns(here: Path, run: Run) -> None:
    (here / "wide.csv").write_text(table([f"c{i}" for i in range(300)]), "utf-8")
    done = run("fit wide.csv --components 2 --covariance EII --n-init 2 --json")
    assert done.code == 0
    assert len(done.document["result"]["columns"]) == 300


def test_names_that_are_code_stay_names(here: Path, run: Run) -> None:
    odd = ["<script>alert(1)</script>", 'a "quoted", name', "x'; DROP TABLE data; --"]
    (here / "odd.csv").write_text(table(odd), "utf-8")
    columns = ",".join(name.replace(",", "\\,") for name in odd)
    done = run("fit odd.csv --components 2 --covariance EII --n-init 2 --out o --columns", columns)
    assert done.code == 0
    page = (here / "o" / "report.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert run("predict o/model.safetensors odd.csv --id", odd[0]).out.count("\n") == 61


# --- places ---


def test_nothing_is_replaced_unasked(here: Path, run: Run) -> None:
    (here / "o").mkdir()
    (here / "o" / "report.html").write_text("mine", "utf-8")
    refused(
        run("fit faithful.csv --components 1 --covariance EII --out o"),
        f"o{os.sep}report.html is there already; choose another place",
    )
    assert (here / "o" / "report.html").read_text("utf-8") == "mine"
    assert run("fit faithful.csv --components 1 --covariance EII --out o --force").code == 0
    assert (here / "o" / "report.html").read_text("utf-8") != "mine"


def test_a_place_that_cannot_be_written_to_is_said_before_the_fit(here: Path, run: Run) -> None:
    (here / "file").write_text("x", "utf-8")
    refused(run("fit faithful.csv --out file"), "nothing can be written to file: ")
    refused(run("fit faithful.csv --out file/o"), "nothing can be written to file/o: ")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(here: Path, run: Run) -> None:
    (here / "shut").mkdir(mode=0o500)
    refused(run("fit faithful.csv --out shut"), "nothing can be written to shut: Permission denied")


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
from estep.cli.main import main
sys.exit(main())
"""


def test_a_full_disk_leaves_no_half_file(here: Path) -> None:
    """A limit on the size of files stands for a full disk: the spool falls back, the results cannot be written."""
    rng = np.random.default_rng(0)
    np.savetxt("long.csv", rng.normal(size=(6000, 2)), delimiter=",", header="x,y", comments="", fmt="%.6f")
    program = LIMITED.format(size=60_000)
    line = "fit long.csv --components 2 --covariance EEE --n-init 1 --out o"
    paths = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", program, *line.split()],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be kept" in done.stderr
    assert done.stderr.splitlines()[-1] == f"error: o{os.sep}assignments.parquet could not be written: File too large"
    assert os.listdir("o") == ["model.safetensors"]
    assert estep.load("o/model.safetensors").converged_
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 60_000  # the limit was the other process's


def test_a_model_that_cannot_be_written_leaves_nothing(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    refused(run("fit faithful.csv --components 1 --covariance EII --out o --quiet"), "No space left on device")
    assert os.listdir("o") == []
