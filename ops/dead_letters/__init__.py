"""Messages that gave up.

inbox.py    list, group, show, choose, discard
replay.py   send one again, for what is true now      replay_batch.py    many: a canary first, then at a rate
"""

# Of a replay of many, unless told otherwise: at most so many a second, none more after so many failures in a row.
RATE, MAX_FAILURES = 10.0, 5
