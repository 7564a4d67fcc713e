"""The table of docs/settings.md, made from the model: `python -m tests.support.settings_page`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ticker.settings.fields import Field, SourceField, fields_of
from ticker.settings.model import DATABASE_FILE, Settings

PAGE: Final = Path(__file__).parents[2] / "docs" / "settings.md"
_BEGIN, _END = "<!-- begin of the table -->\n", "<!-- end of the table -->\n"


def table() -> str:
    """Return the table as it should be."""
    rows = ["| variable | default | meaning | example |", "| --- | --- | --- | --- |"]
    for variable, default, meaning, example in _rows():
        cells = (f"`{variable}`", default, meaning, f"`{example}`")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _rows() -> Iterator[tuple[str, str, str, str]]:
    seen = set()
    for field in fields_of(Settings).values():
        if not isinstance(field, SourceField):
            yield field.variable, _default(field), field.meaning, field.example
        elif field.kind not in seen:  # one row stands for those of all sources
            seen.add(field.kind)
            kind = "REST_URL" if field.kind == "rest_urls" else "URL"
            meaning = field.meaning.replace(field.source, "that source")
            yield f"TICKER_<SOURCE>_{kind}", _default(field), meaning, field.example


def _default(field: Field) -> str:
    if field.name == "database_url":
        return f"`sqlite:///<data dir>/{DATABASE_FILE}`"
    shown = "" if field.secret else field.show(field.default)
    return f"`{shown}`" if shown else field.unset


def page_with(new_table: str) -> str:
    """Return the page with a table in place of its own."""
    before, _, rest = PAGE.read_text("utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{new_table}{_END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with(table()), "utf-8")
