"""An Ed25519 key for one signature, in libcrypto's memory. libcrypto overwrites a key that is closed; Python cannot.

Through ctypes, because importing `cryptography` costs the supervisor 25 ms and 9 MB; Python has loaded libcrypto anyway.
Source: EVP_PKEY_keygen(3), EVP_DigestSign(3), EVP_PKEY_get_raw_public_key(3) of OpenSSL 3.
"""

from __future__ import annotations

import ctypes

ED25519 = 1087  # NID_ED25519
KEY_BYTES, SIGNATURE_BYTES = 32, 64


class SigningKey:
    """A new key pair. `public` is the public key in hexadecimal. Raises OSError if libcrypto is missing or fails."""

    def __init__(self) -> None:
        self._library = _library()
        self._key = ctypes.c_void_p()
        context = ctypes.c_void_p(self._library.EVP_PKEY_CTX_new_id(ED25519, None))
        try:
            _check(self._library.EVP_PKEY_keygen_init(context))
            _check(self._library.EVP_PKEY_keygen(context, ctypes.byref(self._key)))
        finally:
            self._library.EVP_PKEY_CTX_free(context)
        public, length = ctypes.create_string_buffer(KEY_BYTES), ctypes.c_size_t(KEY_BYTES)
        _check(self._library.EVP_PKEY_get_raw_public_key(self._key, public, ctypes.byref(length)))
        self.public = public.raw.hex()

    def sign(self, text: bytes) -> str:
        """Returns the signature in hexadecimal. Raises OSError."""
        context = ctypes.c_void_p(self._library.EVP_MD_CTX_new())
        signature, length = ctypes.create_string_buffer(SIGNATURE_BYTES), ctypes.c_size_t(SIGNATURE_BYTES)
        try:
            _check(self._library.EVP_DigestSignInit(context, None, None, None, self._key))
            _check(self._library.EVP_DigestSign(context, signature, ctypes.byref(length), text, ctypes.c_size_t(len(text))))
        finally:
            self._library.EVP_MD_CTX_free(context)
        return signature.raw.hex()

    def close(self) -> None:
        """Erases the private key."""
        if self._key:
            self._library.EVP_PKEY_free(self._key)
            self._key = ctypes.c_void_p()

    def __del__(self) -> None:
        if hasattr(self, "_key"):
            self.close()


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libcrypto.so.3")
    for name in ("EVP_PKEY_CTX_new_id", "EVP_MD_CTX_new"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("EVP_PKEY_CTX_free", "EVP_MD_CTX_free", "EVP_PKEY_free"):
        getattr(library, name).restype = None
    return library


def _check(code: int) -> None:
    if code != 1:
        raise OSError("libcrypto cannot make or use a key")
