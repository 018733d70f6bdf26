"""What the standard library lacks in WebAssembly: sleeping, key derivation, and clear words about threads."""

import hashlib
import hmac
import threading
import time


def install(flush):
    def sleep(seconds, /):
        import _stepvault_host as host

        if not isinstance(seconds, (int, float)):
            seconds = float(seconds)
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        flush()
        host.sleep(seconds * 1000)

    time.sleep = sleep
    threading._start_joinable_thread = _no_threads
    if not hasattr(hashlib, "pbkdf2_hmac"):
        hashlib.pbkdf2_hmac = pbkdf2_hmac


def _no_threads(*arguments, **options):
    raise RuntimeError("can't start new thread: a step has one thread; use asyncio to wait for several things at once")


def pbkdf2_hmac(hash_name, password, salt, iterations, dklen=None):
    """hashlib.pbkdf2_hmac as CPython has it with OpenSSL, about fifty times slower: 100,000 rounds take a second or two."""
    if iterations < 1:
        raise ValueError("iteration value must be greater than 0.")
    if dklen is not None and dklen < 1:
        raise ValueError("key length must be greater than 0.")
    keyed = hmac.new(bytes(password), digestmod=hash_name)

    def sign(message):
        copy = keyed.copy()
        copy.update(message)
        return copy.digest()

    length = dklen or keyed.digest_size
    derived, block = b"", 0
    while len(derived) < length:
        block += 1
        link = sign(bytes(salt) + block.to_bytes(4, "big"))
        mixed = int.from_bytes(link, "big")
        for _ in range(iterations - 1):
            link = sign(link)
            mixed ^= int.from_bytes(link, "big")
        derived += mixed.to_bytes(keyed.digest_size, "big")
    return derived[:length]
