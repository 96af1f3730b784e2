"""Where a file comes from and whether it is what it was: `karat check`."""

from __future__ import annotations

from karat.workflow.checking.files import FileCheck as FileCheck
from karat.workflow.checking.files import Result as Result
from karat.workflow.checking.made import Entry as Entry
from karat.workflow.checking.made import note as note
from karat.workflow.checking.made import remember as remember
from karat.workflow.checking.places import Check as Check
from karat.workflow.checking.places import check as check
