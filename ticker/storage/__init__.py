"""The database of API keys and tokens: schema, migrations, queries. Knows no secrets.

`database` is the one way in; `keys` and `tokens` hold the statements, as functions over a
connection, so that the caller says what belongs into one transaction.
"""
