"""Git LFS at the pretend git host: batch, locks and a store for objects at another host, as at github.com.

Source: https://github.com/git-lfs/git-lfs/blob/main/docs/api (batch, basic transfers, locking). Objects are kept in memory.
"""

from __future__ import annotations

import hashlib
import json
import re

STORE_HOST = "github-cloud.githubusercontent.com"  # downloads
UPLOAD_HOST = "github-cloud.s3.amazonaws.com"
TYPE = "application/vnd.git-lfs+json"
BRIEF = "f" * 64  # the address for uploading this object expires after a second
HIDDEN = "hidden"  # a repository of this name, with any owner, is hidden from every credential: GitHub answers 404
VERIFY_HOST = "lfs.github.com"
_PATH = re.compile(r"/(?P<owner>[^/]+)/(?P<name>[^/]+?)(\.git)?/info/lfs/(?P<call>objects/batch|locks/verify|locks)\Z")
_OBJECT = re.compile(r"/media/(?P<oid>[0-9a-f]{64})\Z")


def pointer(data: bytes) -> str:
    """The file that git stores in place of an object (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md)."""
    oid = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n"


class Store:
    """The objects by oid."""

    def __init__(self, *objects: bytes) -> None:
        self._objects = {hashlib.sha256(data).hexdigest(): data for data in objects}

    def answer(self, path: str, body: bytes) -> tuple[int, bytes] | None:
        """The status and JSON for a request to the git host, None if the path is not LFS."""
        match = _PATH.match(path)
        if match is None:
            return None
        if match["name"] == HIDDEN:
            return 404, json.dumps({"message": "Not Found"}).encode()
        if match["call"] == "objects/batch":
            return 200, json.dumps(self._batch(json.loads(body))).encode()
        locks: dict[str, list[str]] = {"ours": [], "theirs": []} if match["call"] == "locks/verify" else {"locks": []}
        return 200, json.dumps(locks).encode()

    def serve(self, method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        """The status and body for a request to the store, None if the path is not an object."""
        match = _OBJECT.match(path)
        if match is None:
            return None
        if method == "PUT":
            if hashlib.sha256(body).hexdigest() != match["oid"]:
                return 400, b""
            self._objects[match["oid"]] = body
            return 200, b""
        return (200, self._objects[match["oid"]]) if match["oid"] in self._objects else (404, b"")

    def _batch(self, request: dict[str, object]) -> dict[str, object]:
        objects = request["objects"]
        assert isinstance(objects, list)
        upload = request["operation"] == "upload"
        return {
            "transfer": "basic",
            "objects": [self._object(wanted["oid"], wanted["size"], upload=upload) for wanted in objects],
        }

    def _object(self, oid: str, size: int, *, upload: bool) -> dict[str, object]:
        described: dict[str, object] = {"oid": oid, "size": size, "authenticated": True}
        if upload and oid not in self._objects:
            href = f"https://{UPLOAD_HOST}/media/{oid}?actor_id=1&key_id=0&repo_id=1"
            verify = f"https://{VERIFY_HOST}/objects/{oid}/verify"
            signed = "Credential=pretend/20261128/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-date"
            headers = {"Authorization": f"AWS4-HMAC-SHA256 {signed},Signature={oid[:16]}", "x-amz-content-sha256": oid}
            described["actions"] = {
                "upload": {"href": href, "header": headers, "expires_in": 1 if oid == BRIEF else 900},
                "verify": {"href": verify, "header": {"Authorization": f"RemoteAuth {oid[:16]}"}, "expires_in": 900},
            }
        elif not upload and oid in self._objects:
            href = f"https://{STORE_HOST}/media/{oid}?token={oid[:16]}"
            described["actions"] = {"download": {"href": href, "expires_in": 900}}
        elif not upload:
            described["error"] = {"code": 404, "message": "Object does not exist"}
        return described
