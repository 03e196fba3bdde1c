"""The whole product on one machine, in one process group."""
