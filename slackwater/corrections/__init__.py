"""Which events a correction is of, and how it is written down (`slackwater.versions.corrections` is the ledger)."""
