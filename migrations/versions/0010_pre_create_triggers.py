"""Create triggers of deferred tasks and human-in-the-loop details."""

from leoflow.db.migrate import run_body

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Remove them again."""
    run_body(__file__, "down")
