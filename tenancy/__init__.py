"""One tenant at run time, for producers, workers and operators.

systems      its AFAS and Pluvo clients
call_slots   AFAS calls at once, over all machines
rate_limit   Pluvo calls a second, over all machines
health       each direction: healthy, paused, quarantined, told to wait
alerts       what a person should know, opened once and closed when it is over
cache        tenants as this process read them last

What all tenants share is asked here too: ``redis_rights`` (may this user of Redis do all that is needed?) and
``vital_signs`` (do relay, maintenance and timetable get done?).
"""
