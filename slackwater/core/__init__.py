"""What every room shares: settings, errors, faults, logs, clock. It imports no room."""
