"""Break the running system at random and see that nothing is lost and nothing doubled.

``servers.py`` PostgreSQL and Valkey that can be killed   ``scene.py`` people who change meanwhile
``faults.py`` what goes wrong                             ``laws.py`` what must hold after each round
``rounds.py`` one round after the other                   ``__main__.py`` ``make chaos``
"""
