"""Mark the last lines of logs."""

from leoflow.db.migrate import run_body

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Forget the marks."""
    run_body(__file__, "down")
