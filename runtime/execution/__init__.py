"""Drive one run: its blueprint's graph in, events out.

Whoever drives holds one attempt of the run. Everything it writes is fenced by that attempt,
and each node asks for its `node.started` to be committed before it does anything, so an
attempt that has lost its run calls no model any more.
"""
