"""The steps from an empty database to the schema of today, run by Alembic at start.

A new step: `versions/000N_what_it_does.py` with `down_revision` of the one before, and the
new `HEAD` in `ticker/storage/schema.py`. Steps that were released are never edited.
"""
