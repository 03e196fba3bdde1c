"""The tests mirror the source; `support` holds what they share."""
