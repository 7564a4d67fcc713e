"""Who may do what: API keys, tokens, policies. Knows nothing of HTTP or WebSocket.

`keys`, `tokens`, `policy` and `grants` are pure; `secrets_file` and `demo` keep secrets in the
data directory; `key_admin` manages keys and tokens in the database, and `authority` is what the
server asks.
"""
