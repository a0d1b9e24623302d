"""What watches the log, the delta topics and the versions."""
