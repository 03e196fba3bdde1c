"""Keep the ranges of priorities that claims look into."""

from leoflow.db.migrate import run_body

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Drop what it added."""
    run_body(__file__, "down")
