"""AFAS → plan → messages: what AFAS says of its events, and what Pluvo needs for it.

===============  =======================================================================================
file             what it does
===============  =======================================================================================
producer         one run, from reading to its messages
preview          the same without doing it, by a command or as a run of its own
expected         a run that carries out nothing but the plan that was looked at
make_plan        read, match, plan and judge: the part that both share
course_rules     which events the rules of the tenants file link; event_list finds them in AFAS
snapshot         reads an event of AFAS and says whether the listing can be trusted
read_ahead       reads many small events of one connector in few pages
plain_rows       rows of a page of which nothing is odd, straight into the snapshot
pluvo_directory  lists or looks up the Pluvo users that matching needs
facts            what planning must know of some hundred people; its statements are in facts_sql
matching         which Pluvo account belongs to an AFAS person; pure
planner          the lines of everybody who is in AFAS
leavers          the lines of those who are gone, and the proof that they are
moves            the lines of those who leave a former place
plan_lines       stores lines, and the plan's hash
guards           limits on what one run may do
raise_holds      a hold for each guard that tripped, and when it is overtaken
decide_holds     release, refuse and expiry
commit           the plan becomes desired state and messages
===============  =======================================================================================
"""

from producers.enrollments.make_plan import load
from producers.enrollments.preview import preview_run
from producers.enrollments.producer import run

__all__ = ["load", "preview_run", "run"]
