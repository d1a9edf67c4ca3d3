"""Runs: begun in every process, ended by one.

runner.py      claims a queued run and lets its producer work on it
finalizer.py   ends runs whose messages are done, counts ended ones again
"""
