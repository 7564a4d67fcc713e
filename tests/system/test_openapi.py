"""The running program is what docs/openapi.yaml says, and the document leaves nothing out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis

from tests.support.server import Server, script
from ticker.settings.model import Settings
from ticker.web.app import CONTENT_SECURITY_POLICY, create_app

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "openapi.yaml"
#: For each operation, besides the examples and edge cases in the document: ten seconds in all.
EXAMPLES: Final = 10
#: What Quart answers by itself at every route.
_AUTOMATIC: Final = {"HEAD", "OPTIONS"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(schemathesis.openapi.from_path(DOCUMENT).raw_schema)


def test_every_route_is_in_the_document_and_the_reverse(document: dict[str, Any]) -> None:
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in create_app(Settings()).url_map.iter_rules()
        for method in (rule.methods or set()) - _AUTOMATIC
    }
    operations = {
        (path, method.upper())
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert routes == operations


def test_the_documents_content_security_policy_is_ours(document: dict[str, Any]) -> None:
    header = document["components"]["headers"]["ContentSecurityPolicy"]
    assert header["schema"]["const"] == CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("name", ["openapi.yaml", "asyncapi.yaml"])
def test_a_document_is_in_yaml_1_2_which_has_no_merging_of_maps(name: str) -> None:
    """Tools that read JSON's part of YAML alone, as OpenAPI 3.1 §4.2 says, would see a name."""
    assert re.search(r"^\s*<<:", (DOCUMENT.parent / name).read_text(), re.MULTILINE) is None


@pytest.mark.parametrize("signed_in", [True, False], ids=["with a token", "without a token"])
def test_the_program_keeps_to_the_document(
    server: Server,
    tmp_path: Path,
    signed_in: bool,  # noqa: FBT001 - a parameter
) -> None:
    command = [
        *(script("schemathesis"), "run", str(DOCUMENT), "--url", server.url, "--no-color"),
        # It does not end; tests/system/test_http_stream.py reads it.
        *("--exclude-path", "/stream"),
        *("--checks", "all", "--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(EXAMPLES), "--seed", "5", "--request-timeout", "10"),
        *("--generation-database", "none"),
    ]
    if signed_in:
        command += ["-H", f"Authorization: Bearer {server.token()}"]
    else:
        # Without a token every price is 401, whatever else is asked for.
        command += ["--exclude-checks", "positive_data_acceptance"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 10" in done.stdout, done.stdout
    for crash in ("request_crashed", "connection_crashed"):
        assert server.events(crash) == []
