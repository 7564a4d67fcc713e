"""Where settings come from, which wins, and how their faults are told."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from ticker.market.sources.spec import SourceSpec
from ticker.rate_limit import Rate
from ticker.settings import fields
from ticker.settings.loader import MASK, Loaded, SettingsError, load
from ticker.settings.model import Settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a settings file of the developer's out of the tests."""
    monkeypatch.chdir(tmp_path)


def loaded(
    environ: Mapping[str, str] | None = None, file: str | None = None, **options: object
) -> Loaded:
    if file is not None:
        Path("ticker.toml").write_text(file, "utf-8")
    return load(environ=environ or {}, options=options)


def faults(
    environ: Mapping[str, str] | None = None, file: str | None = None, **options: object
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(environ, file, **options)
    assert all("\n" not in fault for fault in caught.value.faults)
    return caught.value.faults


def test_the_defaults_are_the_contracts() -> None:
    settings = loaded().settings
    assert settings == Settings()
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8081, Path("data"))
    assert settings.database == Path("data/auth.db")
    assert settings.source == (SourceSpec("simulated"),)
    assert settings.symbols == {
        "BTC-USD": Decimal(42000),
        "ETH-USD": Decimal(2500),
        "SOL-USD": Decimal(95),
    }
    assert (settings.tick, settings.token_ttl, settings.graceful_timeout) == (0.01, 3600.0, 3.0)
    assert (settings.token_store, settings.token_key) == ("database", ())
    assert settings.token_from == ("header", "subprotocol")
    assert settings.allowed_origins == ()
    assert (
        settings.max_streams,
        settings.max_streams_per_token,
        settings.max_streams_per_address,
    ) == (10000, 100, 1000)
    assert (settings.auth_rate, settings.refused_rate) == (Rate(30, 60.0), Rate(100, 60.0))
    assert settings.demo_key == "auto"
    assert (settings.feed_urls, settings.rest_urls, settings.feed_proxy) == ({}, {}, None)
    assert (
        settings.restart_initial,
        settings.restart_factor,
        settings.restart_jitter,
        settings.restart_max,
        settings.restart_reset,
    ) == (1.0, 2.0, 0.1, 90.0, 5.0)
    assert settings.log_format == "auto"


def test_the_later_wins() -> None:
    file = 'port = 1\nhost = "10.0.0.1"\ntick = "1s"'
    found = loaded({"TICKER_PORT": "2", "TICKER_HOST": "10.0.0.2"}, file, port="3")
    assert (found.settings.port, found.settings.host, found.settings.tick) == (3, "10.0.0.2", 1.0)
    where = {origin.field.name: origin.where for origin in found.origins}
    assert where["port"] == "command line"
    assert where["host"] == "TICKER_HOST"
    assert where["tick"] == "ticker.toml"
    assert where["data_dir"] == "default"
    assert found.settings.named == {"port", "host", "tick"}


def test_an_option_that_was_not_given_is_none() -> None:
    assert loaded({"TICKER_PORT": "2"}, port=None).settings.port == 2


def test_a_file_may_be_named_by_option_or_environment(tmp_path: Path) -> None:
    for name, port in (("one.toml", 1), ("two.toml", 2)):
        (tmp_path / name).write_text(f"port = {port}")
    environ = {"TICKER_CONFIG": "one.toml"}
    assert load(environ=environ).settings.port == 1
    assert load(config=Path("two.toml"), environ=environ).settings.port == 2


def test_a_file_may_keep_the_settings_in_a_table_of_their_own() -> None:
    assert loaded(file="[ticker]\nport = 7").settings.port == 7


@pytest.mark.parametrize(
    "file",
    [
        "[roles.user]\npolicies = ['none']\n[policies.none]\n{none}\n[ticker]\nport = 7",
        "[ticker]\nport = 7\n[ticker.roles.user]\npolicies = ['none']\n[policies.none]\n{none}",
        "[roles.user]\npolicies = ['none']\n[ticker.policies.none]\n{none}\n[ticker]\nport = 7",
    ],
)
def test_policies_are_read_beside_such_a_table_and_within(file: str) -> None:
    none = "effect = 'deny'\nactions = ['*']\nresources = ['*']"
    settings = loaded(file=file.replace("{none}", none)).settings
    assert settings.port == 7
    assert not settings.policies.decide("user", "read", "symbol:BTC-USD")


def test_nothing_in_a_file_is_passed_over() -> None:
    file = (
        "port = 7\n[other]\nx = 1\n[roles.user]\npolicies = ['everything']\n"
        "[ticker]\nport = 8\n[ticker.roles.guest]\npolicies = ['everything']\n"
    )
    assert faults(file=file) == [
        "ticker.toml: port: expected in [ticker] or outside of it, not in both",
        "ticker.toml: roles: expected in [ticker] or outside of it, not in both",
        "ticker.toml: other: there is no such setting; `ticker config` lists them",
    ]
    (fault,) = faults(file="ticker = 1")
    assert fault == "ticker.toml: [ticker] must be a table"


def test_toml_values_may_have_their_own_types() -> None:
    file = (
        'symbols = {BTC-USD = 7, ETH-USD = "0.5"}\ntoken_from = ["query"]\nmax_streams = 0\n'
        "auth_rate = 0\nallow_insecure = true\nrestart_factor = 1.5\n"
    )
    settings = loaded(file=file).settings
    assert settings.symbols == {"BTC-USD": Decimal(7), "ETH-USD": Decimal("0.5")}
    assert settings.token_from == ("query",)
    assert (settings.max_streams, settings.auth_rate.count) == (0, 0)
    assert settings.allow_insecure is True
    assert settings.restart_factor == 1.5


def test_every_fault_is_told_in_a_line_of_its_own() -> None:
    found = faults(
        {"TICKER_TICK": "soon", "TICKER_AUTH_RATE": "fast"},
        "port = -1\nportt = 1\n[roles.guest]\npolicies = ['nothing']",
        max_streams="many",
    )
    assert len(found) == 6
    text = "\n".join(found)
    assert "TICKER_TICK='soon': expected a length of time" in text
    assert "ticker.toml: portt: there is no such setting" in text
    assert "TICKER_AUTH_RATE='fast': expected a rate" in text
    assert "ticker.toml: port=-1: expected a port" in text
    assert "ticker.toml: roles.guest.policies: there is no policy 'nothing'" in text
    assert "command line: max_streams='many'" in text


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"TICKER_RESTART_FACTOR": "0.5"}, "restart_factor"),
        ({"TICKER_RESTART_JITTER": "1.5"}, "restart_jitter"),
        ({"TICKER_TICK": "0.5ms"}, "tick"),
        ({"TICKER_TICK": "61s"}, "tick"),
        ({"TICKER_DATABASE_URL": "nonsense"}, "expected a database file"),
        ({"TICKER_DATABASE_URL": "mysql://localhost/x"}, "begins with sqlite:/// or postgresql://"),
        ({"TICKER_DATABASE_URL": "sqlite://"}, "expected a database file"),
        ({"TICKER_SOURCE": "coinbase,nosuch:x"}, "no source is called 'nosuch'; there are: "),
        ({"TICKER_SYMBOLS": "BTC-USD=1e400"}, "TICKER_SYMBOLS='BTC-USD=1e400': expected a price"),
        ({"TICKER_TOKEN_KEY": "a,b,c,d,e,f,g,h,i"}, "TICKER_TOKEN_KEY=********: expected at most"),
        ({"TICKER_CONFIG": "absent.toml"}, "absent.toml: no such settings file"),
    ],
)
def test_values_that_make_no_sense_are_faults(environ: Mapping[str, str], text: str) -> None:
    (fault,) = faults(environ)
    assert text in fault


def test_a_settings_file_that_leads_nowhere_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "ticker.toml").symlink_to("absent.toml")
    assert faults() == ["ticker.toml: no such settings file"]


def test_a_pipe_that_none_named_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ticker.toml")
    assert faults() == ["ticker.toml: no settings file, but a pipe"]


def test_a_settings_file_may_be_nested_however_deeply() -> None:
    (fault,) = faults(file="a = " + "[" * 50_000)
    assert fault.startswith("ticker.toml: cannot be read as TOML: ")


def test_a_variable_that_is_no_setting_is_noted_and_no_fault() -> None:
    # The last two are the client's.
    environ = {"TICKER_PROT": "1", "TICKER_API_KEY": "k", "TICKER_CONFIG": ""}
    assert loaded(environ).settings.ignored == ("TICKER_PROT",)


def test_what_kubernetes_says_of_services_is_passed_over() -> None:
    found = loaded(
        {
            "TICKER_SERVICE_HOST": "10.0.0.1",
            "TICKER_SERVICE_PORT": "8081",
            "TICKER_SERVICE_PORT_HTTP": "8081",
            "TICKER_PORT": "tcp://10.0.0.1:8081",
            "TICKER_PORT_8081_TCP": "tcp://10.0.0.1:8081",
            "TICKER_PORT_8081_TCP_PROTO": "tcp",
            "TICKER_PORT_8081_TCP_PORT": "8081",
            "TICKER_PORT_8081_TCP_ADDR": "10.0.0.1",
            "TICKER_REDIS_PORT": "tcp://10.0.0.2:6379",
            "TICKER_METRICS_SERVICE_HOST": "10.0.0.3",
        }
    )
    assert (found.settings.port, found.settings.ignored) == (8081, ())
    assert loaded({"TICKER_PORT": "tcp://10.0.0.1:1"}, "port = 7").settings.port == 7
    assert "expected a port" in faults({"TICKER_PORT": "http://10.0.0.1:1"})[0]


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_is_one_that_is_not_set(empty: str) -> None:
    fields_of_all = {origin.field.variable: empty for origin in loaded().origins}
    fields_of_all["TICKER_CONFIG"] = empty
    assert loaded(fields_of_all).settings == Settings()
    assert loaded({"TICKER_PORT": empty}, "port = 7").settings.port == 7


def test_a_market_without_symbols_or_sources_is_a_fault() -> None:
    assert faults(file="symbols = {}\nsource = []") == [
        "source: expected at least one source",
        "symbols: expected at least one symbol",
    ]


def test_a_file_that_is_no_toml_is_a_fault() -> None:
    (fault,) = faults(file="port = = 1")
    assert "ticker.toml: cannot be read as TOML" in fault
    Path("ticker.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        load(environ={})
    Path("ticker.toml").unlink()
    Path("ticker.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        load(environ={})


@pytest.mark.parametrize(
    "environ",
    [
        {"TICKER_TOKEN_KEY": "s3cret,"},
        {"TICKER_TOKEN_KEY": "s3cret,s3cret"},
        {"TICKER_DATABASE_URL": "postgresql://joe:s3cret@localhost:port/x"},
        {"TICKER_DATABASE_URL": "//joe:s3cret@localhost/x"},
        {"TICKER_DATABASE_URL": "joe:s3cret@localhost/x"},
        {"TICKER_DATABASE_URL": "mysql://joe@h/x?password=s3cret"},
        {"TICKER_DATABASE_URL": "host=h user=joe password=s3cret"},
        {"TICKER_DATABASE_URL": "postgresql://h:x/y?password=a@s3cret"},
        {"TICKER_DATABASE_URL": "postgresql://joe:s3cret"},
        {"TICKER_BUS": "redis://joe:'s3cret@h/x"},
        {"TICKER_BUS": "host=h password=s3cret"},
        {"TICKER_FEED_PROXY": "http://joe:12#s3cret@localhost"},
        {"TICKER_KRAKEN_URL": "wss://joe:12/s3cret@localhost"},
        {"TICKER_COINBASE_REST_URL": "https://h/x#s3cret"},
        {"TICKER_HOST": "host=h user=s3cret"},
        {"TICKER_SOURCE": "http://h/?a=s3cret"},
        {"TICKER_HOST": "http://joe:s3c/s3cret@localhost/x"},
        {"TICKER_KRAKEN_URL": "https://joe:s3@cret/s3cret@localhost/x"},
        {"TICKER_FEED_PROXY": "https://joe:s3cret@localhost"},
        {"TICKER_FEED_PROXY": "joe:s3cret@localhost:3128"},
    ],
)
def test_a_fault_never_repeats_a_secret(environ: Mapping[str, str]) -> None:
    assert "s3cret" not in "\n".join(faults(environ))


@pytest.mark.parametrize("mark", list("'\"#?/;,:&=%@ "))
@pytest.mark.parametrize(
    "address",
    [
        "TICKER_DATABASE_URL=postgresql+psycopg://us3r:{}@h/x",
        "TICKER_DATABASE_URL=postgresql+psycopg://h/x?user=us3r&password={}",
        "TICKER_DATABASE_URL=host=h user=us3r password={}",
        "TICKER_BUS=redis://us3r:{}@h/0",
        "TICKER_BUS=redis://{}@h/0",
        "TICKER_FEED_PROXY=http://us3r:{}@h",
        "TICKER_COINBASE_URL=wss://us3r:{}@h/x",
        "TICKER_COINBASE_URL=wss://h/x?token={}",
        "TICKER_COINBASE_URL=wss://h/x#token={}",
        "TICKER_COINBASE_REST_URL=https://us3r:{}@h/x",
    ],
)
def test_a_password_with_any_mark_in_it_is_never_shown(address: str, mark: str) -> None:
    name, _, value = address.format(f"s3cret{mark}s3cret").partition("=")
    environ = {"TICKER_TOKEN_KEY": "k" * 32, "TICKER_KEY_PEPPER": "p" * 32, name: value}
    try:
        found = loaded(environ)
        shown = repr(found) + str([origin.shown for origin in found.origins])
    except SettingsError as error:
        shown = str(error)
    assert "s3cret" not in shown
    assert "us3r" not in shown


def test_a_secret_is_masked_wherever_it_might_show() -> None:
    environ = {
        "TICKER_TOKEN_KEY": "s3cret",
        "TICKER_KRAKEN_URL": "wss://joe:s3cret@kraken.example/",
        "TICKER_COINBASE_REST_URL": "https://s3cret@coinbase.example/",
        "TICKER_FEED_PROXY": "http://joe:s3cret@proxy:3128",
    }
    found = loaded(environ)
    shown = {origin.field.name: origin.shown for origin in found.origins}
    assert shown["kraken_url"] == "wss://***@kraken.example/"
    assert shown["feed_proxy"] == "http://***@proxy:3128"
    assert shown["token_key"] == MASK
    assert found.settings.token_key == (b"s3cret",)
    assert "s3cret" not in str(shown)
    assert "s3cret" not in repr(found)


def test_every_setting_is_shown_the_way_it_is_read() -> None:
    found = loaded({"TICKER_ALLOWED_ORIGINS": "https://a.example", "TICKER_TICK": "20ms"})
    shown = {origin.field.name: origin.shown for origin in found.origins if origin.shown}
    again = loaded({f"TICKER_{name.upper()}": value for name, value in shown.items()}).settings
    kept = attrs.evolve(again, named=found.settings.named, database_url="")
    assert kept == found.settings


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - the subject
        ("::", False),
        ("prices.example.com", False),
    ],
)
def test_what_only_this_machine_can_reach_is_told(host: str, loopback: bool) -> None:  # noqa: FBT001 - a table
    assert loaded(host=host).settings.loopback is loopback


def asked(**options: str) -> list[list[str]]:
    settings = loaded(None, None, **options).settings
    return [list(settings.symbols_for(spec)) for spec in settings.source]


def test_a_recording_brings_its_own_symbols_unless_the_settings_name_some() -> None:
    assert asked(source="replay:x") == [[]]
    assert asked(source="replay:x", symbols="BTC-USD") == [["BTC-USD"]]
    assert asked(source="coinbase") == [["BTC-USD", "ETH-USD", "SOL-USD"]]


def test_a_source_is_asked_for_the_symbols_that_it_names() -> None:
    assert asked(source="simulated[BTC-USD X-USD],coinbase", symbols="BTC-USD=7,ETH-USD") == [
        ["BTC-USD", "X-USD"],
        ["BTC-USD", "ETH-USD"],
    ]
    settings = loaded(source="simulated[BTC-USD]", symbols="BTC-USD=7").settings
    assert settings.symbols_for(settings.source[0]) == {"BTC-USD": Decimal(7)}


def test_every_source_but_those_without_one_may_have_another_address() -> None:
    found = loaded(
        {
            "TICKER_COINBASE_URL": "ws://127.0.0.1:1/feed",
            "TICKER_COINBASE_REST_URL": "http://127.0.0.1:2",
            "TICKER_SIMULATED_URL": "ws://127.0.0.1:3",
        }
    )
    assert found.settings.feed_urls == {"coinbase": "ws://127.0.0.1:1/feed"}
    assert found.settings.rest_urls == {"coinbase": "http://127.0.0.1:2"}
    assert found.settings.named == {"coinbase_url", "coinbase_rest_url"}
    assert found.settings.ignored == ("TICKER_SIMULATED_URL",)


def test_a_source_of_another_package_may_have_another_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fields, "source_names", lambda: ("simulated", "my-exchange"))
    environ = {"TICKER_MY_EXCHANGE_URL": "wss://x.example"}
    assert loaded(environ).settings.feed_urls == {"my-exchange": "wss://x.example"}


def test_a_file_that_may_not_be_read_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ticker.toml"
    path.write_text("port = 1")
    assert stat.S_ISREG(path.stat().st_mode)

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    (fault,) = faults()
    assert "Permission denied" in fault
