"""Several endpoints behind one provider. From above a Pool is a Provider that knows when it is full."""

from cortexd.pool.affinity import affinity_of
from cortexd.pool.pool import Pool, make_pool
from cortexd.pool.view import ReplicaView

__all__ = ["Pool", "ReplicaView", "affinity_of", "make_pool"]
