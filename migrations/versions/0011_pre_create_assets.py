"""Create the tables of assets, their events, and who waits for them."""

from leoflow.db.migrate import run_body

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Drop the tables again."""
    run_body(__file__, "down")
