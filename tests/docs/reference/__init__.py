"""Reference pages of `docs/reference/`, written from the code that they are about: one module for each page. A development tool, no part of the package."""
