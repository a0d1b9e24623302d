"""The interface under generated requests: Schemathesis, all checks, against the real service on a real socket."""
