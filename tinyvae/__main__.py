"""`python -m tinyvae` is the program `tinyvae`."""

import sys

from tinyvae.cli import main

if __name__ == "__main__":
    sys.exit(main())
