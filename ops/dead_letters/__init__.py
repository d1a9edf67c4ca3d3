"""Messages that gave up.

inbox.py    list, group, show, choose, discard
replay.py   send one again, for what is true now      replay_batch.py    many: a canary first, then at a rate
"""
