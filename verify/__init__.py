"""The proof of answers: an oracle that shares no code with what it proves, and the comparison."""
