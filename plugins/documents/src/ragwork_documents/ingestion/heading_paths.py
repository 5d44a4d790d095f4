"""The headings above each place of a Markdown text."""

import re
from bisect import bisect_right
from typing import Final

_HEADING: Final = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t\r]*$")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")


class HeadingPaths:
    """Asked by position. A line with a mark within a fenced block is code, and no heading."""

    def __init__(self, text: str) -> None:
        self._starts = [0]
        self._paths: list[tuple[str, ...]] = [()]
        open_headings: dict[int, str] = {}
        fence = ""
        position = 0
        for line in text.split("\n"):
            mark = _FENCE.match(line)
            if fence and mark and mark[1].startswith(fence):
                fence = ""
            elif mark and not fence:
                fence = mark[1]
            elif not fence and (heading := _HEADING.match(line)):
                level = len(heading[1])
                open_headings = {above: said for above, said in open_headings.items() if above < level}
                if heading[2].strip():
                    open_headings[level] = heading[2].strip()
                self._starts.append(position)
                self._paths.append(tuple(open_headings.values()))
            position += len(line) + 1

    def at(self, position: int) -> tuple[str, ...]:
        """From the outermost; a heading that begins there is among them."""
        return self._paths[bisect_right(self._starts, position) - 1]
