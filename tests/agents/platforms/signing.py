"""How each platform signs what it sends, written from its documentation and not from ours: a function for each."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlencode

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


def surveymonkey(body: bytes, secret: str, now: float) -> Headers:
    """The key of the HMAC is the client id, `&` and the client secret: together they are the entrance's secret."""
    digest = hmac.new(secret.encode("ascii"), body, hashlib.sha1).digest()
    return {"Sm-Apikey": "k1d4qmAhRN4zLa7pHcWaXw", "Sm-Signature": base64.b64encode(digest).decode()}


def not_by_headers(body: bytes, secret: str, now: float) -> Headers:
    return {}


def tally(body: bytes, secret: str, now: float) -> Headers:
    return {"Tally-Signature": base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()}


def chatwoot(body: bytes, secret: str, now: float) -> Headers:
    stamp = str(int(now))
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"X-Chatwoot-Signature": f"sha256={digest}", "X-Chatwoot-Timestamp": stamp}


def helpscout(body: bytes, secret: str, now: float) -> Headers:
    digest = hmac.new(secret.encode(), body, hashlib.sha1).digest()
    return {"X-HelpScout-Signature": base64.b64encode(digest).decode(), "X-HelpScout-Event": "satisfaction.ratings"}


def intercom(body: bytes, secret: str, now: float) -> Headers:
    return {"X-Hub-Signature": "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}


def hubspot(body: bytes, secret: str, now: float) -> Headers:
    """Its time is in milliseconds; the address is the one in `form.toml`."""
    stamp = str(int(now * 1000))
    signed = b"POST" + b"https://feedback.example.com/in/hubspot" + body + stamp.encode()
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return {"X-HubSpot-Signature-v3": base64.b64encode(digest).decode(), "X-HubSpot-Request-Timestamp": stamp}


def bearer(body: bytes, secret: str, now: float) -> Headers:
    return {"Authorization": f"Bearer {secret}"}


def kobotoolbox(body: bytes, secret: str, now: float) -> Headers:
    """The user and the password of the service, `USER:PASSWORD`, are the secret."""
    return {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}


def jotform(body: bytes, secret: str) -> bytes:
    """A form in parts; objects in the fixture are JSON in a text."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(fields, dict):
        return body
    lines = []
    for name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value)
        head = f'--------------------------a1b2c3\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        lines.append(head.encode(errors="replace") + text.encode(errors="replace") + b"\r\n")
    return b"".join(lines) + b"--------------------------a1b2c3--\r\n"


def qualtrics(body: bytes, secret: str) -> bytes:
    """What it sends is a form; its message is the JSON in `good.json`."""
    digest = hmac.new(secret.encode(), body, hashlib.sha512).hexdigest()
    topic = "acme.surveyengine.completedResponse.SV_1AmkKSDmoZ4XlQx"
    return urlencode({"HMAC": digest, "MSG": body, "Topic": topic}).encode()


ENVELOPE: dict[str, Callable[[bytes, str], bytes]] = {"qualtrics": qualtrics, "jotform": jotform}
"""How the signed body is made of that in a fixture, where it is not the same."""
TOKEN_IN_ADDRESS = {"google_forms", "jotform"}
UNSIGNED = {"sm-apikey", "x-helpscout-event"}
"""Headers that say something else."""
SIGN: dict[str, Sign] = {
    "google_forms": not_by_headers,
    "qualtrics": not_by_headers,
    "surveymonkey": surveymonkey,
    "typeform": typeform,
    "formbricks": standard_webhooks,
    "generic": standard_webhooks,
    "zendesk": zendesk,
    "asknicely": asknicely,
    "wootric": wootric,
    "survicate": survicate,
    "tally": tally,
    "jotform": not_by_headers,
    "posthog": bearer,
    "chatwoot": chatwoot,
    "helpscout": helpscout,
    "intercom": intercom,
    "hubspot": hubspot,
    "kobotoolbox": kobotoolbox,
    "limesurvey": bearer,
    "surveyjs": bearer,
}
SIGNS_A_TIME = {"formbricks", "generic", "zendesk", "chatwoot", "hubspot"}
