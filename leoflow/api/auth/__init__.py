"""Log-in, tokens, and who may do what."""
