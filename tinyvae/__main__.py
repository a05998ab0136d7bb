"""`python -m tinyvae` is the program `tinyvae`."""

import sys

from tinyvae.cli import program

if __name__ == "__main__":
    sys.exit(program())
