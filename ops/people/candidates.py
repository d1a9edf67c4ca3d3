"""The accounts an operator chooses from, as they are now."""

from __future__ import annotations

# Of a link ``l``. Who is ambiguous beside a person whose account was still to be made: by now that account has an id.
CANDIDATES = """
    (SELECT coalesce(jsonb_agg(each.one || CASE WHEN made.pluvo_id IS NULL THEN '{}'::jsonb
                                                ELSE jsonb_build_object('pluvo_id', made.pluvo_id) END
                               ORDER BY each.place), '[]'::jsonb)
       FROM jsonb_array_elements(l.candidates) WITH ORDINALITY AS each(one, place)
       LEFT JOIN person theirs ON each.one ->> 'pluvo_id' IS NULL AND theirs.tenant_id = l.tenant_id
                              AND theirs.internal_id = each.one ->> 'linked_to'
       LEFT JOIN link made ON made.person_id = theirs.id AND made.state <> 'ignored') AS candidates
"""
