"""The command line and what it starts: broker, supervisor, demo, doctor. It runs every room; none imports it."""
