"""The claim loop: asks Postgres for work, launches attempts, reports their outcomes."""
