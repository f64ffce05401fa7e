"""Content digests, as DVC and as everybody computes them."""

import hashlib
import json
from pathlib import Path

_BLOCK = 1 << 20


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return _hash_file(path, "sha256")


def dvc_md5(path: Path) -> str:
    """Return the digest under which DVC caches a file or a folder.

    It is computed from the content, so it is right also where `dvc.lock` is older than the files.
    Compiled Python code does not count, as `.dvcignore` says.

    Returns:
        The MD5 of a file; for a folder the MD5 of its listing, with the ending `.dir`.
    """
    if path.is_file():
        return _hash_file(path, "md5")
    found = (file for file in path.rglob("*") if "__pycache__" not in file.parts and file.is_file())
    files = {file.relative_to(path).as_posix(): file for file in found}
    listing = [{"md5": _hash_file(files[name], "md5"), "relpath": name} for name in sorted(files)]
    text = json.dumps(listing, sort_keys=True).encode()
    return f"{hashlib.md5(text, usedforsecurity=False).hexdigest()}.dir"


def _hash_file(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
