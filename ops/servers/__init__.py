"""PostgreSQL and Redis for a command, and ``koppeling up``.

environment.py   find the servers, named or running       embedded/   servers that koppeling runs itself
up.py            everything on this machine               parent.py   a process that ends with the one that started it
"""
