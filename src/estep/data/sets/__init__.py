"""Small real data for examples: measurements and counts that were printed, with where they come from.

==============  =====  ====================================================================================================
name            rows   what, and origin
==============  =====  ====================================================================================================
ability         6      covariances of six ability tests, 112 persons; Smith & Stanley (1983), as in R ``ability.cov``
airquality      153    New York, May to September 1973: ozone (ppb), solar radiation (langley), wind (mph), temperature
                       (F), with gaps; New York State and the National Weather Service, as in R ``airquality``
banknote        200    genuine and counterfeit Swiss bank notes, six lengths (mm); Flury & Riedwyl (1988)
biochemists     915    articles in the last three years of a doctorate, female, married, kids under 6, prestige of the
                       department, articles of the mentor; Long (1990), Social Forces 68:1297
carcinoma       20     118 slides that seven pathologists A to G called carcinoma (1) or not, as patterns with counts;
                       Landis & Koch (1977), Biometrics 33:363, as in Agresti (2002), Categorical Data Analysis, table 13.1
co2             28     countries, 1996: gross national product a head, CO2 a head; Hurn, Justel & Robert (2003)
crimes          9      victims of crime on two visits, some seen once, with counts; Kadane (1985)
death_notices   10     days with 0 to 9 notices of deaths of women over 80 in The Times; Hasselblad (1969)
deerwester      12     counts of twelve words in nine titles: c1 to c5 on computers, m1 to m4 on graphs; Deerwester et al.
                       (1990), J. American Society for Information Science 41:391
diabetes        145    glucose and insulin response, steady-state plasma glucose, diagnosis; Reaven & Miller (1979)
faithful        272    Old Faithful: minutes of an eruption and to the next one; Azzalini & Bowman (1990); Haerdle (1991)
galaxies        82     velocities of galaxies in Corona Borealis (1000 km/s); Roeder (1990), value 78 corrected to 26.96
iris            150    lengths and widths (cm) of sepals and petals of three species; Anderson (1935), Fisher (1936)
lsat            30     1000 candidates' answers to five questions (section 6 of an LSAT, 1 right), as patterns with counts;
                       Bock & Lieberman (1970), Psychometrika 35:179
mice            10     log10 days to death of ten mice, observed until the seventh died; Gupta (1952), Biometrika 39:260
motorettes      40     hours that motor insulation lasted at four temperatures (C), failed 1 or still running 0; Schmee & Hahn
                       (1979), Technometrics 21:417
nitric_oxide    88     burns of ethanol: nitric oxide in the exhaust, equivalence ratio of air and fuel; Brinkman (1981)
poll            944    American National Election Study 1996: left (1) to right (7) of oneself, Clinton and Dole, party 0
                       (strong Democrat) to 6 (strong Republican), expected vote, age, education 1 (grades) to 7 (PhD),
                       income 1 to 24, days a week of news on television; as in statsmodels ``anes96``, public domain
promoters       18     promoters of E. coli genes, 105 letters each, and where the protein CRP binds them: first of 22
                       letters, from 1; Stormo & Hartzell (1989), PNAS 86:1183
seizures        140    seizures of a child with epilepsy, hours watched that day, treated 0 or 1, day; Wang et al. (1996),
                       Biometrics 52:381
stouffer_toby   16     216 answers to four questions on role conflict, 1 particularistic and 2 universalistic, as patterns
                       with counts; Stouffer & Toby (1951), as in Goodman (1974), Biometrika 61:215
==============  =====  ====================================================================================================

``load(name)`` gives any of them, ``load_faithful()`` plain arrays.
"""

from __future__ import annotations

import csv
import difflib
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array


def names() -> list[str]:
    """The names that ``load`` knows.

    >>> len(names()), names()[:3]
    (21, ['ability', 'airquality', 'banknote'])
    """
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(file.removesuffix(".csv") for file in files if file.endswith(".csv"))


def load(name: str) -> Any:
    """A data set by its name: a DataFrame where pandas is installed, otherwise ``(rows, columns)``.

    Parameters
    ----------
    name : str
        One of ``names()``; the table at the top of ``estep.data.sets`` says what each is and where it comes from.

    Returns
    -------
    DataFrame (n, d), or (array (n, d), tuple of str)
        Missing entries are NaN. Without pandas the array holds objects where a column is text.

    Raises
    ------
    ValueError
        On an unknown name, with the nearest one.

    Examples
    --------
    >>> data = load("airquality")
    >>> data.shape, list(data.columns), int(data["ozone"].isna().sum())
    ((153, 4), ['ozone', 'solar', 'wind', 'temp'], 37)
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(str(name), known, 1)
        raise ValueError(f"name={name!r} is no data set{f'; did you mean {near[0]!r}?' if near else ''}; there are {known}")
    columns, header = _columns(f"{name}.csv")
    try:
        import pandas
    except ImportError:
        return np.column_stack([c if c.dtype.kind == "f" else c.astype(object) for c in columns]), header
    return pandas.DataFrame(dict(zip(header, map(_whole, columns), strict=True)))


def load_faithful() -> tuple[Array, tuple[str, ...]]:
    """Eruptions of the Old Faithful geyser: duration and waiting time to the next one.

    Returns
    -------
    X : array (272, 2)
        Minutes.
    columns : tuple of str
        ``("eruptions", "waiting")``.

    Source: Azzalini & Bowman (1990), Applied Statistics 39:357; Haerdle (1991), Smoothing Techniques.

    Examples
    --------
    >>> X, columns = load_faithful()
    >>> X.shape, columns, X[0].tolist()
    ((272, 2), ('eruptions', 'waiting'), [3.6, 79.0])
    """
    columns, header = _columns("faithful.csv")
    return np.column_stack(columns), header


def _columns(file: str) -> tuple[list[NDArray[Any]], tuple[str, ...]]:
    """The columns of a file, numbers as floats, and their names."""
    text = resources.files(__name__).joinpath(file).read_text(encoding="utf-8")
    header, *rows = csv.reader(text.splitlines())
    return [_parsed(column) for column in zip(*rows, strict=True)], tuple(header)


def _parsed(column: tuple[str, ...]) -> NDArray[Any]:
    """Floats where every entry that is there is a number, else text; NaN or None where blank."""
    try:
        return np.array([float(entry) if entry else np.nan for entry in column])
    except ValueError:
        return np.array([entry or None for entry in column], dtype=object)


def _whole(column: NDArray[Any]) -> NDArray[Any]:
    """Integers where the column holds whole numbers and no gap."""
    whole = column.dtype.kind == "f" and bool((column == np.round(column)).all())
    return column.astype(np.int64) if whole else column
