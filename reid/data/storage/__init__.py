"""Where image files lie: a folder, a zip or tar archive, and containers inside a folder.

A data set has one root, which is a folder or an archive. Its manifest names each image by a path
below that root, or by a container below it and a member: `tar://shards/00.tar#US/a.jpg`. Everything
is read in place; nothing is ever unpacked or written.
"""

from reid.data.storage.base import Storage, container_path
from reid.data.storage.opening import open_storage

__all__ = ["Storage", "container_path", "open_storage"]
