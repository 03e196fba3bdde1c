"""What time causes: due runs, timers, lost leases, retention. One service per file; any number of replicas."""
