"""Chores that one process does for all.

periodic.py      which there are, and how often
probes.py        cheap reads that reopen a quarantined direction
retention.py     what is forgotten, and when
"""
