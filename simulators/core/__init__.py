"""What both simulators stand on.

``server`` and ``front`` take HTTP calls, ``system`` is what a simulated system has in common, ``faults`` breaks calls
on demand, ``call_log`` remembers them, ``control_routes`` and ``control_client`` change the systems from outside.
"""
