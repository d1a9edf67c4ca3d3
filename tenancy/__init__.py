"""One tenant at run time, for producers, workers and operators.

systems      its AFAS and Pluvo clients
call_slots   AFAS calls at once, over all machines
rate_limit   Pluvo calls a second, over all machines
health       each direction: healthy, paused, quarantined, told to wait
alerts       what a person should know, opened once and closed when it is over
cache        tenants as this process read them last
"""
