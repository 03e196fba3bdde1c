"""Thin typed calls of the SQL functions that are the state machine. Holds no rule of its own."""
