"""Results of analyses, computed once and kept beside what they were computed from.

They lie in the group `derived` of the trace, or, where that cannot be written, in a folder of this machine.
Readers, writers and `verify` leave that group alone: whatever is in it can be computed again.
"""

from tracekit.derived.extending import keep_measures
from tracekit.derived.keeping import derive
from tracekit.derived.listing import KeptResult, clear_derived, list_derived

__all__ = ["KeptResult", "clear_derived", "derive", "keep_measures", "list_derived"]
