"""What is answered: batch views and the hot cells behind them, merged at one read point; routes, formats, the page.

Rooms: `watch`, `store`, `query`, `stream`, `sql`, `http`, `status`, `page`. Not here: what a version is
(`slackwater.versions`), what is computed (`slackwater.views`).
"""
