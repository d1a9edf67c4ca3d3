"""Which ready messages may go now: the relay hands these out, and stands still when it does not."""

from __future__ import annotations

# A message may not go while another one with its lock is out, or an older one with its lock is ready in the same
# direction (unless that one follows this one), or the message that it follows is still there. Messages of other tenants
# count only when they are out and the lock is an account: tenants may share an organisation, and so its account ids.
# Two directions or tenants may pick one lock at the same moment: the older message goes.
# (CASE and the scalar subquery keep the planner from answering either question for the whole table at once.)
MAY_GO = """
           m.state = 'ready'
           AND NOT EXISTS (
                SELECT 1 FROM message o WHERE o.lock = m.lock AND o.id <> m.id
                   AND CASE o.state WHEN 'sent' THEN o.tenant_id = m.tenant_id OR starts_with(o.lock, 'account:')
                                    WHEN 'ready' THEN o.id < m.id AND o.direction = m.direction
                                                      AND o.tenant_id = m.tenant_id
                                                      AND o.after_id IS DISTINCT FROM m.id
                                    ELSE false END)
           AND (SELECT a.id FROM message a WHERE a.id = m.after_id) IS NULL
"""

# Whether the relay stands still: a message could have gone for a minute, and none was handed out in that time.
STANDS_STILL = f"""
SELECT NOT EXISTS (SELECT 1 FROM service WHERE name = 'relay' AND worked_at > now() - interval '60 seconds')
   AND EXISTS (
        SELECT 1 FROM message m
          LEFT JOIN tenant_direction d ON d.tenant_id = m.tenant_id AND d.direction = m.direction
         WHERE m.run_at < now() - interval '60 seconds' AND coalesce(d.state, '') NOT IN ('paused', 'quarantined')
           AND coalesce(d.wait_until, now()) <= now() AND {MAY_GO})
"""  # noqa: S608  constants
