"""The steps of the schema, run by Alembic: one module for each in `versions`."""
