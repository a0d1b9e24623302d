"""Who may do what, how often, how much and how many at once."""
