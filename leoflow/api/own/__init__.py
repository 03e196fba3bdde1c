"""Leoflow's own additions under /api/v2/leoflow: registering compiled DAGs. May import what api.public may."""
