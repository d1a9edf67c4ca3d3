"""Hands messages from the ledger to Redis; one process at a time does it for all.

relay.py        the loop: take back what is lost, promote, allocate, claim, push
statements.py   its SQL, and the rows that gives
fairness.py     who gets the next places (pure)
leader.py       being the one: a lock of PostgreSQL's and the connection that holds it
"""
