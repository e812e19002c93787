"""`python -m vgg_zoo COMMAND ...` is `vgg-zoo COMMAND ...`, but has imported PyTorch before it can answer."""

import sys

from vgg_zoo_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
