"""SQL over the merged views at one read point, each query in a process of its own that can do nothing else."""
