"""English words of asking rather than of the thing asked: weak evidence."""

from typing import Final

_WORDS_OF_ASKING = """
answer ask call come describe detail different down explain example fast find get give go good happen help
important kind know like list long look main make many mean much need often old part possible question say see
show sort summarise summarize summary take tell thing think try type understand use using want way work
"""

WEAK: Final = frozenset(_WORDS_OF_ASKING.split())
