"""`python -m trials.migrations 0003 "what changes"` writes the revision that makes the tables of the code."""

import sys
import tempfile

from alembic import command

from trials.database import make_engine, transaction
from trials.migrate import make_config, upgrade


def main() -> None:
    """Compares the tables of the code with those of a fresh database at the newest revision."""
    revision, message = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine(f"sqlite:///{folder}/fresh.db")
        upgrade(engine, folder)
        with transaction(engine) as connection:
            command.revision(make_config(connection), message, autogenerate=True, rev_id=revision)
        engine.dispose()


main()
