"""What lies in single values and between columns, counted and said in words: out of range, combinations, groups."""

from karat.assays.finding import Finding
from karat.assays.table.joint import combinations, groups, ranges
from karat.assays.table.joint.calendar import with_weekdays
from karat.assays.table.joint.survey import survey
from karat.assays.table.tables import Case

FINDS = ("out of range", "combinations", "groups")


def findings(case: Case) -> list[Finding]:
    """Out of range, and with two columns or more combinations; groups where there is a column to look at by group."""
    dated = with_weekdays(case)
    surveyed = survey(dated)
    return [ranges.finding(case), *combinations.findings(dated, surveyed), *groups.findings(dated, surveyed)]
