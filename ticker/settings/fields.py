"""What is known of one setting, and the settings that the registered sources bring with them.

Rules for this module: descriptions only; nothing is read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Literal

import attrs

from ticker.market.sources import source_names
from ticker.redaction import mask_credentials, shown_address
from ticker.settings import network_readers as network

#: What every environment variable that is a setting begins with.
PREFIX: Final = "TICKER_"
_METADATA: Final = "setting"
#: The sources that have no address. Any other one, also of another package, may have two.
_WITHOUT_ADDRESS: Final = frozenset({"simulated", "replay"})


@attrs.frozen(kw_only=True)
class Field:
    """One setting.

    Attributes:
        name: as in a file; `TICKER_` and the same in capitals is the variable.
        default: its value where nothing sets it.
        reader: reads what a file, the environment or an option holds; raises ValueError with
            half a sentence that says what was expected.
        show: writes a value the way the reader reads it.
        meaning: what it is for, as half a sentence.
        example: a value as in the environment.
        secret: whether its value is shown nowhere.
        address: whether its value is an address, which may hold credentials.
        unset: what is shown of a default that no value stands for.
    """

    name: str
    default: Any
    reader: Callable[[Any], Any]
    show: Callable[[Any], str]
    meaning: str
    example: str
    secret: bool = False
    address: bool = False
    unset: str = ""

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"{PREFIX}{self.name.upper()}"


@attrs.frozen(kw_only=True)
class SourceField(Field):
    """An address of one source of prices.

    Attributes:
        source: the name of the source.
        kind: the field of `Settings` that keeps it.
    """

    source: str
    kind: Literal["feed_urls", "rest_urls"]


def setting(
    default: Any,
    reader: Callable[[Any], Any],
    meaning: str,
    example: str,
    *,
    show: Callable[[Any], str] = str,
    secret: bool = False,
    address: bool = False,
    unset: str = "",
) -> Any:
    """Make an attribute of `Settings` that can be set from outside."""
    described = {
        "reader": reader,
        "meaning": meaning,
        "example": example,
        "show": _show_address if address else show,
        "secret": secret,
        "address": address,
        "unset": unset,
    }
    shown = False if secret else _repr_of_address if address else _repr
    return attrs.field(default=default, repr=shown, metadata={_METADATA: described})


def _repr(value: object) -> str:
    return mask_credentials(repr(value))


def _repr_of_address(value: str | None) -> str:
    return repr(_show_address(value))


def fields_of(model: type[attrs.AttrsInstance]) -> dict[str, Field]:
    """Describe every setting there is, by name, in the order to show them."""
    fixed = {
        attribute.name: Field(
            name=attribute.name, default=attribute.default, **attribute.metadata[_METADATA]
        )
        for attribute in attrs.fields(model)
        if _METADATA in attribute.metadata
    }
    addresses = (field for name in source_names() for field in _addresses_of(name))
    return fixed | {field.name: field for field in addresses if field.name not in fixed}


def _addresses_of(source: str) -> tuple[SourceField, ...]:
    if source in _WITHOUT_ADDRESS:
        return ()
    word = re.sub(r"[^a-z0-9]+", "_", source.lower())
    return (
        SourceField(
            name=f"{word}_url",
            default=None,
            reader=network.feed_url,
            show=_show_address,
            address=True,
            meaning=f"another address for the feed of {source}: a proxy, a recorder, a test",
            example="wss://feed.example.com",
            unset="the exchange's own",
            source=source,
            kind="feed_urls",
        ),
        SourceField(
            name=f"{word}_rest_url",
            default=None,
            reader=network.http_url,
            show=_show_address,
            address=True,
            meaning=f"where the REST interface of {source} is asked",
            example="https://api.example.com",
            unset="the exchange's own, or the host of the other feed address",
            source=source,
            kind="rest_urls",
        ),
    )


def _show_address(url: str | None) -> str:
    return shown_address(url or "")
