"""Who may do what: API keys, tokens, policies. Knows nothing of HTTP or WebSocket.

`keys`, `tokens`, `policy`, `access` and `grants` are pure; `secrets_file`, `pepper` and `demo` keep
secrets in the data directory; `key_admin` manages keys and tokens in the database. `authority` is
what the server asks, with `token_store` for the database and `revocations` for what has ended.
"""
