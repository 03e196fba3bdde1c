"""What only time causes: due runs, retry times, lost leases, deadlines, callbacks, retention. One service per file.

No leader: every replica runs every service, rows are claimed with SKIP LOCKED. The way from one task to the next does
not lead through here. May import `db`, `engine`, `execution`, `spec`; is imported by `lite` and `cli`.
"""
