"""Add the legal transitions of task instances."""

from leoflow.db.migrate import run_body

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Remove the rows again."""
    run_body(__file__, "down")
