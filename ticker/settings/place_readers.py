"""Readers of where things are: the data directory, the database, the sources of prices.

Rules for this module: as for `readers.py`: a value in, a value or a ValueError with half a
sentence out.
"""

from __future__ import annotations

from pathlib import Path

from ticker.market.sources import SourceConfigError, find_source
from ticker.market.sources.spec import SourceSpec
from ticker.settings import readers as read
from ticker.storage.urls import check_url


def path(raw: object) -> Path:
    """Read a path."""
    return Path(read.text(raw))


def database_url(raw: object) -> str:
    """Read the address of a database of a kind that there is."""
    url = read.text(raw)
    check_url(url)
    return url


def sources(raw: object) -> tuple[SourceSpec, ...]:
    """Read sources of which each is there, by `readers.sources`."""
    specs = read.sources(raw)
    try:
        for spec in specs:
            find_source(spec.source)
    except SourceConfigError as error:
        raise ValueError(str(error)) from None
    return specs
