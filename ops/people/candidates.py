"""Of a link, in SQL: the accounts an operator chooses from, as they are now, and its revision."""

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
# Of a person ``p`` and their link ``l``: what it was when somebody looked. A link that was removed and made anew counts
# its own changes from the start again, so what operators decided counts too.
REVISION = """
    coalesce(l.revision, 0) + (SELECT CAST(count(*) AS int) FROM operator_action a
                                WHERE a.tenant_id = p.tenant_id AND a.subject = p.internal_id AND a.verb LIKE 'links %')
"""
