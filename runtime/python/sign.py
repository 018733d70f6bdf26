"""The module `stepvault` of a step: has the egress broker sign with a key, since a sealed one never comes here."""

import base64
import datetime
import hashlib
import json


class SignError(Exception):
    """What could not be signed; `code` is the error's code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def sign(key, *, algorithm, **options):
    """
    Signs with a secret, as `<<secrets.name>>`. `hmac` takes data (str or bytes) and gives the signature, `jwt` takes type
    and claims and gives the token, `aws-sigv4` takes the request and gives the headers to add to it. Raises SignError.
    """
    import _stepvault_host as host

    if not isinstance(key, str):
        raise TypeError("the key of sign must be a secret, as <<secrets.name>>")
    answer = json.loads(host.sign(key, json.dumps(_encoded(algorithm, options))))
    if "error" in answer:
        raise SignError(answer["error"]["code"], answer["error"]["message"])
    signed = answer.get("answer", {})
    if "headers" in signed:
        return dict(signed["headers"])
    return signed.get("signature", signed.get("token"))


def _encoded(algorithm, options):
    """Options as the broker takes them."""
    body = options.pop("body", b"")
    encoded = {"algorithm": algorithm, **options}
    if "data" in encoded:
        encoded["data"] = base64.b64encode(_bytes(encoded["data"])).decode()
    if "headers" in encoded:
        headers = encoded["headers"]
        encoded["headers"] = [list(pair) for pair in (headers.items() if hasattr(headers, "items") else headers)]
    if isinstance(encoded.get("date"), datetime.datetime):
        encoded["date"] = encoded["date"].astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if algorithm == "aws-sigv4":
        encoded.setdefault("bodyHash", hashlib.sha256(_bytes(body)).hexdigest())
    return encoded


def _bytes(data):
    return data.encode() if isinstance(data, str) else bytes(data)
