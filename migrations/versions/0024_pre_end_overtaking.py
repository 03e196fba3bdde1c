"""Let no task wait for its slots for ever."""

from leoflow.db.migrate import run_body

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Forget it."""
    run_body(__file__, "down")
