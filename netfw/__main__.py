"""``python -m netfw`` is the command ``netfw``."""

import sys

from netfw.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
