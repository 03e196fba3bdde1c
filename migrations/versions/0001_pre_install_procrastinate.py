"""Install procrastinate's schema, which carries the control plane's background jobs."""

from leoflow.db.migrate import run_body

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create schema `procrastinate`."""
    run_body(__file__)


def downgrade() -> None:
    """Drop it with every job in it."""
    run_body(__file__, "down")
