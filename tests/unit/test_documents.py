"""What the pages and the docstrings name is there: links, modules, settings, paths, commands."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest

from ticker.cli.program import cli
from ticker.settings.fields import PREFIX, fields_of
from ticker.settings.model import Settings

ROOT = Path(__file__).parents[2]
PAGES: Final = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)
pytestmark = pytest.mark.skipif(
    not all(page.is_file() for page in PAGES), reason="the pages are absent"
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

#: What begins like a module of ours and is none: files, subprotocols, hosts, units, an entry point.
OTHER: Final = re.compile(
    r"ticker\.(toml|v1|service|socket|env|example|org|com|conf|slice|sock|msgpack)\b"
)
#: Variables that are no settings: a placeholder, and what Kubernetes sets.
OTHER_VARIABLES: Final = {"TICKER_NAME_URL", "TICKER_NAME_REST_URL", "TICKER_SERVICE_HOST"}
#: Where a path may begin.
PLACES: Final = ("", "ticker", "tests", "docs", "ticker/market", "ticker/server", "static")
SUFFIXES: Final = r"(?:py|md|js|toml|yaml|yml|css|html|json|txt|ts|service|conf|jsonl)"


def slug(heading: str) -> str:
    """Return the anchor of a heading as GitHub makes it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slug(each) for each in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def named_modules(text: str) -> Iterator[str]:
    for name in re.findall(r"(?<![\w./@-])ticker(?:\.[A-Za-z_]\w*)+", text):
        if not OTHER.match(name):
            yield name


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or what one has."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def paths(text: str) -> Iterator[str]:
    """Give what is written as a path, in backticks."""
    for span in re.findall(r"`([^`\n]+)`", text):
        # What begins with "./" is in the reader's working directory.
        if re.fullmatch(rf"(?!\./)[\w.-]+(?:/[\w.-]+)*\.{SUFFIXES}(?:::\w+)?", span):
            yield span.partition("::")[0]


def is_there(path: str, beside: Path) -> bool:
    library = importlib.util.find_spec("hypercorn")
    assert library is not None
    assert library.origin is not None
    if (Path(library.origin).parents[1] / path).exists():
        return True
    if "/" not in path:
        return any(ROOT.glob(path)) or any(
            any((ROOT / place).rglob(path)) for place in ("ticker", "tests", "static", "deploy")
        )
    return (beside / path).exists() or any((ROOT / place / path).exists() for place in PLACES)


@every_page
def test_every_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


@every_page
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    missing = {name for name in named_modules(page.read_text("utf-8")) if not exists(name)}
    assert missing == set()


@every_page
def test_every_setting_that_a_page_names_is_there(page: Path) -> None:
    known = {field.variable for field in fields_of(Settings).values()}
    commands = {
        parameter.envvar
        for command in all_commands(cli)
        for parameter in command.params
        if isinstance(parameter.envvar, str)
    }
    named = set(re.findall(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]\b", page.read_text("utf-8")))
    sources = "".join(each.read_text("utf-8") for each in (ROOT / "ticker").rglob("*.py"))
    literal = {name for name in named if f'"{name}"' in sources}
    assert named - known - commands - literal - OTHER_VARIABLES == set()


@every_page
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    found = set(paths(page.read_text("utf-8")))
    assert {path for path in found if not is_there(path, page.parent)} == set()


def test_every_path_that_a_docstring_or_comment_names_is_there() -> None:
    missing = []
    for source in sorted((ROOT / "ticker").rglob("*.py")):
        text = source.read_text("utf-8")
        missing += [
            (source.name, path)
            for path in paths(text.replace("``", ""))
            if not is_there(path, source.parent)
        ]
    assert missing == []


@every_page
def test_every_command_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    spans = re.findall(r"`([^`\n]+)`", text)
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        spans += block.splitlines()
    context = click.Context(cli)
    for span in spans:
        called = re.match(r"\s*(?:\.venv/bin/|[A-Z_]+=\S+ )*ticker ([a-z]+)\b", span)
        if called is not None:
            assert cli.get_command(context, called[1]) is not None, span


def all_commands(group: click.Group) -> Iterator[click.Command]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield command
        if isinstance(command, click.Group):
            yield from all_commands(command)
