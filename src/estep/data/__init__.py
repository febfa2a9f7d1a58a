"""Data planes: anything with one verb, ``sum``; files of sequences and motifs; and small real data ``sets`` for examples."""

from estep.data import sets
from estep.data.arrow import Arrow
from estep.data.dask_plane import ClusterLost
from estep.data.fasta import SequenceRecord, StockholmAlignment, read_fasta, read_stockholm, write_fasta
from estep.data.meme import Pwm, read_meme, write_meme
from estep.data.memory import Memory
from estep.data.on_dask import OnDask

__all__ = [
    "Arrow",
    "ClusterLost",
    "Memory",
    "OnDask",
    "Pwm",
    "SequenceRecord",
    "StockholmAlignment",
    "read_fasta",
    "read_meme",
    "read_stockholm",
    "sets",
    "write_fasta",
    "write_meme",
]
