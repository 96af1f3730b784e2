"""Work that takes longer than a request may wait: trainings, assays, looks, makes, each the same as its verb.

home.py    where the files lie
asked.py   options from what a client sent: known names, types, paths inside the served folders
table.py   jobs and their numbered events in SQLite, ROOT/.karat/jobs.db; whoever is killed, what was written there stays
tail.py    what a job's log and its run's folder hold that is new, as events
worker.py  the process that does jobs: one that is kept warm, and a fork of it for each job
process.py the worker as its server has it
upkeep.py  what is seen to between two jobs
queue.py   the part of the server: submits, shows, cancels, and sees to it that a worker works

At most one job is done at a time below a root, however many servers serve it: who does it holds ROOT/.karat/jobs.lock, which
the system lets go of when he dies. When the server goes, killed or not, the worker's standard input ends: it stops as by
Ctrl-C, and its job waits in the table for the next server. What was killed with its worker is begun again by the next one,
which continues a run that can be continued.
"""

from karat.server.jobs.queue import Jobs as Jobs
from karat.server.jobs.table import Event as Event
from karat.server.jobs.table import Job as Job
from karat.server.jobs.table import Kind as Kind
from karat.server.jobs.table import State as State
