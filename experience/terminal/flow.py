"""A text that is shown as it comes, its lines broken between words."""

from rich.cells import cell_len
from rich.console import Console


class Flow:
    """Writes to a terminal. Another program is given the text as it is, for it can break
    lines itself but cannot know which of the breaks were meant."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._is_mid_line = False
        self._column = 0
        self._gap = self._word = ""  # not written yet: the word may go on

    def write(self, text: str) -> None:
        if not self.console.is_terminal:
            self._put(text)
            return
        for character in text:
            self._take(character)

    def end(self) -> None:
        """Write what is left and end the line, if one has begun."""
        self._write_word()
        if self._is_mid_line:
            self._put("\n")
        self._column, self._gap = 0, ""

    def _take(self, character: str) -> None:
        if character == "\n":
            self._write_word()
            self._put("\n")
            self._column, self._gap = 0, ""
        elif character.isspace():
            self._write_word()
            self._gap += character
        elif cell_len(character) > 1:
            # Of a script without spaces: a line may be broken before each character.
            self._write_word()
            self._word = character
            self._write_word()
        else:
            self._word += character

    def _write_word(self) -> None:
        if not self._word:
            return
        length = cell_len(self._gap.expandtabs() + self._word)
        if self._column and self._column + length > self.console.width:
            self._put("\n")
            self._column, self._gap, length = 0, "", cell_len(self._word)
        self._put(self._gap + self._word)
        self._column += length
        self._gap = self._word = ""

    def _put(self, text: str) -> None:
        self.console.out(text, end="", highlight=False)
        self._is_mid_line = not text.endswith("\n")
