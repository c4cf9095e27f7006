"""`make bench`: what the marks of docs/performance.md are measured with.

Six parts, each against the real system on this machine's loopback: (a) a node's result to
the client's receipt, (b) runs per second beside the bare LangGraph, (c) many sockets on one
run, (d) many streaming runs in one worker, (e) a large run's page in a browser, (f) the admin
with a million events. Never run in CI: a shared machine measures its neighbours.
"""
