"""Run the command line as ``python -m mlfund``."""

import sys

from mlfund.cli import main

if __name__ == "__main__":
    sys.exit(main())
