"""Sets of exact versions: what this release was tested with, newest and oldest; `make lock` writes them."""
