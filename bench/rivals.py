"""Which rivals are installed, at which versions. A rival that is missing, or at another version, is said to be so."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

PINNED = Path(__file__).with_name("requirements.txt")
MCLUST = "6.0.0"


@cache
def pinned() -> dict[str, str]:
    """Distribution name -> pinned version."""
    lines = PINNED.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@cache
def version(name: str) -> str | None:
    """The installed version of a Python distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def mclust_version() -> str | None:
    """The version of mclust that Rscript finds, or None."""
    if shutil.which("Rscript") is None:
        return None
    asked = 'cat(tryCatch(as.character(packageVersion("mclust")), error = function(e) ""))'
    done = subprocess.run(["Rscript", "-e", asked], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def why_absent(name: str) -> str | None:
    """Why a Python rival cannot run here, or None if it can."""
    found, wanted = version(name), pinned()[name]
    if found is None:
        return f"{name}=={wanted} is not installed (pip install -r bench/requirements.txt)"
    return None


def label(name: str) -> str:
    """Name and version, marked where it is not the pinned one."""
    found = version(name)
    return f"{name} {found or 'absent'}" + ("" if found in (None, pinned()[name]) else f" (pinned: {pinned()[name]})")


def environment() -> dict[str, str]:
    """Versions and the machine, for the head of the results."""
    names = ("estep", "numpy", "scipy", "numba", "threadpoolctl", *pinned())
    found = {name: version(name) or ("this checkout" if name == "estep" else "absent") for name in names}
    found["mclust"] = mclust_version() or "absent"
    found["python"] = platform.python_version()
    found["processor"] = _processor()
    found["processors used"] = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    return found


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    vectors = "avx512" if "avx512f" in text else "avx2" if "avx2" in text else "no avx2"
    return f"{name[1] if name else platform.machine()}, {vectors}"
