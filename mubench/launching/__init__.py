"""Where the runs of a command are done: in its own process, in workers beside it, or in jobs of a cluster."""
