"""What an event is: columns, the strict decoder and the fast one, files' columns."""
