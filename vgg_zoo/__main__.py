"""`python -m vgg_zoo COMMAND ...` does the same as `vgg-zoo COMMAND ...`, but imports PyTorch first."""

import sys

from vgg_zoo_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
