"""`make bench`: what the marks of docs/performance.md are measured with.

Four parts, each against the real system on this machine's loopback: (a) a node's result to
the client's receipt, (b) runs per second beside the bare LangGraph, (c) many sockets on one
run, (d) many streaming runs in one worker. Never run in CI: a shared machine measures its
neighbours.
"""
