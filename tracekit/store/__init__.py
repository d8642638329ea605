"""Where the bytes of a trace live: objects by key, in a folder, in memory or at an object store.

`open_store` gives the store of a path or URL. What each guarantees, beyond what every `Store` does:

=============  =====================================  =========================  ==========================
store          `put` is durable on return             listing                    two writers
=============  =====================================  =========================  ==========================
path, file://  yes (`"fsync"`), its name after        what was put, at once      of two that `exchange` an
               `sync`; `"rename"`: survives a killed                             object, one is told so; of
               process, not a power cut                                          two that `put`, the later
                                                                                 one wins
memory://      while the process lives                what was put, at once      the same
s3://, gs://   yes, as the provider promises          what was put, at once (S3  the same, where the server
                                                      since 2020)                knows conditional puts
others         as the library behind fsspec does it   the same; never cached     the later one wins
=============  =====================================  =========================  ==========================

In the first three a `put` is atomic, so a commit marker put last is never seen before what it commits.
"""

from tracekit.store.base import Buffer, Durability, Store, remove_all
from tracekit.store.local import LocalStore
from tracekit.store.opening import open_store
from tracekit.store.pieces import SizedPieces

__all__ = ["Buffer", "Durability", "LocalStore", "SizedPieces", "Store", "open_store", "remove_all"]
