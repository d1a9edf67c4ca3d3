"""Servers and machines as an installation of several has them: a standby, a pooler, hosts with networks of their own.

``python -m benchmarks.fleet`` breaks each of them in the middle of runs and measures how long the others are held up.
"""
