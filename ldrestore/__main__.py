"""`python -m ldrestore` is the `ldrestore` command."""

import sys

from ldrestore.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
