"""The programs of docs/how-to.md, as a reader would copy them."""

import re

from tests.acceptance import stack as stacks

DOCS = stacks.ROOT / "docs"


def program(name: str) -> str:
    """The code of a program, which says its name in the first line."""
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "how-to.md").read_text(), re.M | re.S)
    found = [block for block in blocks if block.startswith(f'"""python {name}')]
    assert len(found) == 1, name
    return str(found[0])
