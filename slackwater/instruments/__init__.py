"""What instruments are, as venues or people declare it: kind, currencies, multiplier, tick and lot, from a time on.

Not here: which instruments have events, and where (`slackwater.store.instruments`).
"""
