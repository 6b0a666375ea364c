"""`python -m tests.docs.reference`: write all pages anew; `make docs` does so before it builds the site."""

from __future__ import annotations

from tests.docs.reference.pages import write

if __name__ == "__main__":
    for path in write():
        print(path)
