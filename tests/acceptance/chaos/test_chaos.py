"""One round of ``make chaos``: real processes, killed for real, with a seed. The long version runs by itself."""

from __future__ import annotations

import pytest

from benchmarks.chaos.faults import Faults
from benchmarks.chaos.laws import violations
from benchmarks.chaos.rounds import chaos
from benchmarks.chaos.scene import Scene

FAULTS_AT_LEAST = 8


def spoil(scene: Scene) -> list[str]:
    """Do by hand what the product must never do; gives a word of each complaint that must follow."""
    acme = scene.tenants[0]
    pluvo, afas = scene.system.pluvo, scene.system.afas
    row = next(iter(scene.afas(acme).rows.values()))
    guest = next(user for user in pluvo.state("acme")["users"] if user["email"].startswith("gast@"))
    pluvo.do("acme", "add_user", email="tweede@example.org", name="Tweede", ref="tweede", send_invite=False)
    pluvo.do("acme", "change_user", id=guest["id"], name="Iemand Anders")
    afas.do(
        "12345",
        "change",
        event_id=row.event_id,
        internal_id=row.internal_id,
        free={acme.completion_field: "2020-01-01"},
    )
    afas.do("12345", "enroll", event_id=340, internal_id=7777, name="Vergeten", email_primary="vergeten@example.nl")
    scene.system.change("UPDATE run SET rows = rows + 1 WHERE id = (SELECT max(id) FROM run)")
    return [
        "belongs to nobody",
        "none of ours",
        "got 0 invitations",
        "AFAS shows 2020-01-01",
        "1 missing",
        "outcomes differ",
    ]


@pytest.mark.parametrize("seed", [4])
def test_a_round_of_chaos_loses_and_doubles_nothing_and_the_judge_can_see(
    seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    # given: a judge that is shown, at the very end, what a loss looks like
    seen: list[str] = []
    expected: list[str] = []

    def judge(scene: Scene, faults: Faults) -> None:
        seen.extend(violations(scene, faults, 0))
        expected.extend(spoil(scene))
        seen.extend(f"spoilt: {line}" for line in violations(scene, faults, 0))

    # when
    told: list[str] = []
    verdict = chaos(seed=seed, seconds=0, people=75, faults_a_round=4, say=told.append, at_the_end=judge)

    # then
    assert verdict.losses == [], "\n".join([*told, verdict.text()])
    assert verdict.faults.total() >= FAULTS_AT_LEAST
    assert verdict.puts > 0, "no completion was written: the round proves nothing"
    assert [line for line in seen if not line.startswith("spoilt: ")] == []
    for word in expected:
        assert any(word in line for line in seen), f"the judge does not see: {word}"
