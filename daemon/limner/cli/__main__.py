"""`python -m limner.cli` is `limner`."""

from __future__ import annotations

from limner.cli.main import main

if __name__ == "__main__":
    main()
