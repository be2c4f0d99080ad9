"""Many logs: a job on each, on this machine or on a Ray cluster, resumable, with tables of what was found."""
