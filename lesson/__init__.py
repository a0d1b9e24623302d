"""The lesson: one stream of trades served under four boundary rules between batch and speed, judged by the oracle.

    cases.py      what happens
    stream.py     the trades of each case, and when each one reaches the log
    schedule.py   steps of the layers, batch runs, deaths and questions in time: the same for all rules
    play.py       plays a schedule under one rule
    truth.py      what was true at each position of the log
    score.py      what was found: right, missing, doubled, wrong digits, for how long
    rival.py      what the other three rules share: `wall_clock.py`, `watermark.py`, `offset.py`
    cut.py        Slackwater's own code, whole, on a log in memory
    run.py        every case under every rule
    table.py, picture.py

Nothing here computes a bar of its own: the rivals merge the states of the same view, and the truth is `verify.oracle`.
"""
