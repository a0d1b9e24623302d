"""Files as sources of events: one format a file, and the one function that opens what the user named (`sources`)."""
