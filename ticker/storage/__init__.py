"""The database of API keys and tokens: schema, migrations, statements. Knows no secrets.

`interface` says what a database is, `urls` opens the one that an address names; `keys` and
`tokens` hold the statements, as functions over a connection, so that the caller says what belongs
into one transaction.
"""
