"""Leoflow's own additions under /api/v2/leoflow."""
