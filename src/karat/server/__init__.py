"""`karat serve`: one application for programs and people, over folders of runs.

catalogue    the runs that are served, by name; nothing is opened by a path that a client sent
engine/      loaded synthesizers, one queue, requests drawn together
jobs/        training and assays in a process of their own, in a table that outlives the server
guard/       keys, scopes, quotas, hosts, limits of bodies: in front of every route
routes/      one file for each part of the API, each with a ROUTER
served.py    what every route finds at `request.app.state.served`
book.py      what leaves is noted in the run that made it
forms.py     requests, made from the options of the verbs
problems.py  errors as clients know them
logs.py      one line of JSON for each request, without content
answers.py   the only way in which made content leaves, labelled
app.py       puts them together
running.py   the process: its socket, its signals, its end
"""
