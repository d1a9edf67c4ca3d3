"""A worker process, and what keeps it running.

worker.py        be one, until told to stop
launcher.py      starts and stops what runs beside the messages
startup.py       what must be true before a process begins
connections.py   how many connections to PostgreSQL it may open
garbage.py       how often it looks for garbage
heartbeat.py     its sign of life
supervisor.py    keeps child processes running
parent.py        which process started this one
"""
