"""English words that say little about what a question is after."""

from typing import Final

_FUNCTION_WORDS = """
a about above after again against all also am an and any anyone are aren as at be because been before being
below between both but by can cannot could couldn did didn do does doesn doing don during each else
ever every few for from further had hadn has hasn have haven having he her here hers herself him himself his
how i if in into is isn it its itself just let ll me might more most must mustn my myself no nor not now of
off on once one only onto or other our ours out over own per please re s same shall she should shouldn so
some someone such t than that the their theirs them then there these they this those through to too under
until up upon us ve very was wasn we were weren what when where whether which while who whom whose why will
with within without would wouldn yes yet you your yours
"""
_WORDS_OF_ASKING = """
answer ask call come describe detail different down explain example fast find get give go good happen help
important kind know like list long look main make many mean much need often old part possible question say see
show sort summarise summarize summary take tell thing think try type understand use using want way work
"""

#: Never evidence.
STOPWORDS: Final = frozenset(_FUNCTION_WORDS.split())
#: Words of asking rather than of the thing asked: weak evidence.
WEAK: Final = frozenset(_WORDS_OF_ASKING.split())
