"""The states of pools, nodes, jobs, job schedules and tasks: enums and pure transition tables.

One module per resource; `docs/states.md` draws every table and a test compares the two.
Nothing here may know the store, the clock or HTTP: whoever calls decides what a transition means.
"""
