"""Figures that a test found, shown with `-s`, and for the tables of the docs."""

from __future__ import annotations


def tell(figure: str) -> None:
    """Print a figure on a line of its own."""
    print(f"\n{figure}")  # noqa: T201 - it is for reading
