"""Seeds that broke something once; they always run. Seed -> what it found."""

KEPT: dict[int, str] = {}
