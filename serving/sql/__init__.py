"""SQL over the merged views of one moment, each query in a process of its own that can do nothing else."""
