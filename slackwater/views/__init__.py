"""WHAT is computed: views, measures, the SQL made from them, the Python merge and finish. Pure; no I/O of its own.

Not here: where events come from (`slackwater.log`), how segments become cells (`slackwater.pipeline`), what is
published (`slackwater.versions`).
"""
