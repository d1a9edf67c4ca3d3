"""Until when the credentials of AFAS work: as noted, or as AFAS told the last check of what is stored now."""

from __future__ import annotations

# SQL: the last day of a tenant ``t``; NULL where nobody knows. Of a classic token only AFAS does.
AFAS_ENDS = """least(CASE WHEN t.afas->>'auth' = 'oauth' THEN CAST(t.afas->>'secret_ends' AS date) END,
                 (SELECT min(CAST(f->'parameters'->>'day' AS date))
                    FROM tenant_check k, jsonb_array_elements(k.findings) f
                   WHERE k.tenant_id = t.id AND k.checked_at >= t.updated_at AND f->>'probe' = 'afas token end'))"""
