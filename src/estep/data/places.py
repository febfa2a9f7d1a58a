"""Where a row came from: the file that it is in, and its number there, for errors. Rows of files are counted from 1.

row of several files                ->  the file, by the number of rows of those before it
row of sequences put in order       ->  the row of the file, by its number beside it
"""

from __future__ import annotations

import os
from typing import Any

ROW = '"estep row"'
FIRST = '"estep first"'


def placed(table: Any, row: int) -> tuple[str, int]:
    """What a row of a table is called: the title of its file, and its number (from 1) in that file.

    ``row`` counts from 1 among all rows of the table.
    """
    if table.behind is not None and ROW.strip('"') in {column.name for column in table.columns}:
        found = table.rows(f"SELECT {ROW} FROM {{t}} LIMIT 1 OFFSET {row - 1}")
        if found and found[0][0] is not None:
            return placed(table.behind, int(found[0][0]))
    if len(table.each) < 2:
        return table.title, row
    left = row
    for path, sql in table.each:
        n = int(table.one(f"SELECT count(*) FROM {sql}")[0])
        if left <= n:
            return short(path, [other for other, _ in table.each]), left
        left -= n
    return table.title, row


def short(path: str, paths: list[str]) -> str:
    """A path without what it shares with the others, folder by folder.

    >>> short("in/year=1/a.csv", ["in/year=1/a.csv", "in/year=2/a.csv"]), short("in/a.csv", ["in/a.csv", "in/b.csv"])
    ('year=1/a.csv', 'a.csv')
    """
    parts = [other.replace(os.sep, "/").split("/") for other in paths]
    same = 0
    while all(len(other) > same + 1 and other[same] == parts[0][same] for other in parts):
        same += 1
    return "/".join(path.replace(os.sep, "/").split("/")[same:])
