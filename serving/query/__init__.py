"""A question and what its answer stands on."""
