"""The leoflow command line, one module per command group."""
