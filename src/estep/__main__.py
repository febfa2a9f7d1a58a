"""``python -m estep``: the command line."""

import sys

from estep.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
