"""Who is asking: tokens, users, the login page, and the rules for a server on loopback."""
