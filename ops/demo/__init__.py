"""``koppeling demo``: the whole job on simulators, from an empty machine to a closing table, in under a minute.

run.py             begins and ends it                 acts.py         what happens, act by act
setup.py           what runs                          narration.py    how it is printed
leftovers.py       what a kept demo leaves to be seen
tenant_script.py   one tenant: who does what          assertions.py   are both systems as they must be at the end?
named_servers.py   servers that the environment names
"""
