"""How each platform signs what it sends, written from its documentation and not from ours: a function for each."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime

SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four b").decode()

Headers = dict[str, str]
Sign = Callable[[bytes, str, float], Headers]


def typeform(body: bytes, secret: str, now: float) -> Headers:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {"Typeform-Signature": "sha256=" + base64.b64encode(digest).decode()}


def standard_webhooks(body: bytes, secret: str, now: float) -> Headers:
    stamp, id_ = str(int(now)), "msg_p5jXN8AQM9LWM0D4loKWxJek"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id_}.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": id_, "webhook-timestamp": stamp, "webhook-signature": f"v1,AAAA {signature}"}


def zendesk(body: bytes, secret: str, now: float) -> Headers:
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hmac.new(secret.encode(), stamp.encode() + body, hashlib.sha256).digest()
    return {
        "X-Zendesk-Webhook-Signature": base64.b64encode(digest).decode(),
        "X-Zendesk-Webhook-Signature-Timestamp": stamp,
    }


def asknicely(body: bytes, secret: str, now: float) -> Headers:
    return {"X-Feedback-Token": secret}


def wootric(body: bytes, secret: str, now: float) -> Headers:
    return {"X-Wootric-Signature": "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}


def survicate(body: bytes, secret: str, now: float) -> Headers:
    return {"Hmac": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


SIGN: dict[str, Sign] = {
    "typeform": typeform,
    "formbricks": standard_webhooks,
    "generic": standard_webhooks,
    "zendesk": zendesk,
    "asknicely": asknicely,
    "wootric": wootric,
    "survicate": survicate,
}
SIGNS_A_TIME = {"formbricks", "generic", "zendesk"}
