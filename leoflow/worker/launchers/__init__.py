"""Ways to run an attempt, behind one port."""
