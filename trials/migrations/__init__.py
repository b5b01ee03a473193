"""Revisions of our tables, for alembic."""
