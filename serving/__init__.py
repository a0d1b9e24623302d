"""What is answered: batch views and the hot cells behind them, merged at one read point; routes, formats, the page.

Rooms: `stream`, `sql`, `formats`, `openapi`, `guard`. Not here: what a version is (`versions`), what is computed
(`views`).
"""
