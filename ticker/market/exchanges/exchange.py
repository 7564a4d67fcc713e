"""An exchange as a source: what its entry point names, and what makes its feed."""

from __future__ import annotations

import attrs
import structlog

from ticker.market.exchanges.dialect import Dialect
from ticker.market.exchanges.exchange_address import feed_url, http_url, proxy_url, rest_beside
from ticker.market.exchanges.feed import Feed
from ticker.market.exchanges.proxy import choose_proxy
from ticker.market.quote import DEFAULT_SYMBOLS
from ticker.market.sources import SourceConfigError, SourceContext
from ticker.market.sources.options import parse_options

__all__ = ["Exchange"]

log = structlog.get_logger()


@attrs.frozen
class Exchange:
    """Makes the feed of an exchange; the factory that its entry point names."""

    dialect: Dialect

    def __call__(self, argument: str, context: SourceContext) -> Feed:
        """Make the feed.

        Raises:
            SourceConfigError: it takes no argument, an address is none, or the symbols are too
                many.
        """
        dialect = self.dialect
        parse_options(dialect.name, argument, [])
        symbols = tuple(context.symbols or DEFAULT_SYMBOLS)
        names: dict[str, list[str]] = {}
        for symbol in symbols:
            names.setdefault(dialect.theirs(dialect.substitute(symbol)), []).append(symbol)
        if dialect.most_symbols is not None and len(names) > dialect.most_symbols:
            most = f"at most {dialect.most_symbols} symbols, not {len(names)}"
            raise SourceConfigError(f"{dialect.name}: {most}")
        try:
            url = dialect.address(feed_url(context.url or dialect.url))
            rest = _rest_url(dialect, context)
            proxy = None if context.proxy is None else proxy_url(context.proxy)
            feed = Feed(
                dialect=dialect,
                symbols=symbols,
                names=names,
                url=url,
                rest_url=rest,
                proxy=choose_proxy(proxy, url),
                rest_proxy=choose_proxy(proxy, rest),
                context=context,
            )
        except ValueError as error:
            raise SourceConfigError(f"{dialect.name}: {error}") from None
        if feed.substitutes:
            renamed = list(feed.substitutes)
            log.warning("usd_is_quoted_in_usdt", source=dialect.name, symbols=renamed)
        return feed


def _rest_url(dialect: Dialect, context: SourceContext) -> str:
    if context.rest_url is not None:
        return http_url(context.rest_url)
    return rest_beside(context.url) if context.url else dialect.rest.url
