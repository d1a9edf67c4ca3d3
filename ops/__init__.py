"""Every verb of an operator as a plain function, and the faces on top of them.

tenants/ runs/ dead_letters/ people/ holds.py status.py    the verbs, by noun
cli/ http/ terminal/                                       the faces: commands, web server, what is printed
servers/ demo/                                             the servers a command needs, and the whole job on simulators
problems.py     what an operator did wrongly               audit.py    who did what
listing.py      pages by key                               lookup.py   what an operator named
access.py       who acts, and what they may
documents.py    the shapes in which runs are told          tidy.py     room of what was erased
"""
