"""What the responses of the sample are made of: metrics, surveys, places, words and people, all invented."""

from bisect import bisect
from datetime import UTC, timedelta, timezone
from random import Random

from npsflow.agents.demo.lines import Fields

WEAK_DEPARTMENT, STRONG_DEPARTMENT, DROPPED_DEPARTMENT = "Billing", "Installation", "Delivery"

SCALES = {"nps": (0, 10), "enps": (0, 10), "csat": (1, 5), "csat_overall": (1, 5), "ces": (1, 7)}
_BORDERS = {"nps": (7, 9), "enps": (7, 9), "csat": (3, 4), "csat_overall": (3, 4), "ces": (4, 5)}
ZONES = {"typeform": UTC, "zendesk": UTC, "formbricks": UTC, "surveymonkey": timezone(timedelta(hours=2))}
SURVEYS = (  # share, source, survey, metric, kind, name
    (20, "formbricks", "nps-relationship", "nps", "relationship", "Yearly relationship survey"),
    (25, "zendesk", "nps-after-contact", "nps", "transactional", "After your contact with us"),
    (20, "typeform", "nps-after-order", "nps", "transactional", "About your order"),
    (12, "zendesk", "csat-ticket", "csat", "transactional", "How did we do?"),
    (7, "surveymonkey", "csat-overall", "csat_overall", "relationship", "Overall satisfaction"),
    (10, "typeform", "ces-self-service", "ces", "transactional", "How easy was it?"),
    (6, "surveymonkey", "enps-pulse", "enps", "relationship", "Working here"),
)
PLACES = (  # channel, journey stage, touchpoint, department, mood
    ("chat", "support", "chat_closed", "Support", 0.0),
    ("phone", "support", "call_ended", "Support", 0.06),
    ("email", "support", "ticket_solved", "Support", -0.08),
    ("web", "purchase", "checkout", "Sales", 0.03),
    ("store", "purchase", "visit", "Sales", 0.07),
    ("email", "billing", "invoice_sent", WEAK_DEPARTMENT, -0.16),
    ("phone", "billing", "payment_call", WEAK_DEPARTMENT, -0.12),
    ("app", "onboarding", "activated", STRONG_DEPARTMENT, 0.14),
    ("phone", "onboarding", "engineer_left", STRONG_DEPARTMENT, 0.16),
    ("app", "delivery", "parcel_delivered", DROPPED_DEPARTMENT, 0.04),
    ("email", "delivery", "parcel_delivered", DROPPED_DEPARTMENT, 0.02),
)
PRODUCTS = (("fiber", 0.04), ("mobile", 0.0), ("tv", -0.05), ("security", 0.01))
_SUBJECTS = {
    "Support": {"en": "the help desk", "nl": "de helpdesk"},
    "Sales": {"en": "the advice", "nl": "het advies"},
    "Billing": {"en": "my invoice", "nl": "mijn factuur"},
    "Installation": {"en": "the installation", "nl": "de installatie"},
    "Delivery": {"en": "the delivery", "nl": "de bezorging"},
    "": {"en": "the service", "nl": "de service"},
}
_COMMENTS = {
    "en": (
        ("Very disappointed with {}.", "{} went wrong twice and nobody called back.", "Still waiting; {} is a mess."),
        ("{} was fine, nothing special.", "It took a while, but {} was okay in the end.", "{} could be quicker."),
        ("Really happy with {}!", "{} was quick and friendly, thank you.", "Could not be better: {} just works."),
    ),
    "nl": (
        (
            "Erg teleurgesteld over {}.",
            "{} ging twee keer mis en niemand belde terug.",
            "Ik wacht nog steeds; {} is één chaos.",
        ),
        ("{} was prima, niets bijzonders.", "Het duurde even, maar {} kwam in orde.", "{} mag wel wat sneller."),
        ("Heel blij met {}!", "{} was snel en vriendelijk, dank je wel.", "Kan niet beter: {} werkt gewoon."),
    ),
}
_FIRST = (
    "Anna",
    "Bram",
    "Chloë",
    "Daan",
    "Emma",
    "Farid",
    "Grace",
    "Henk",
    "Iris",
    "Joost",
    "Kim",
    "Lucas",
    "Noor",
    "Zoë",
)
_LAST = ("Appelman", "Brookfield", "Cornelisse", "Dijkhof", "Eastwick", "Fonteyn", "Greenhill", "Hoogland", "Vermaat")
_TIERS = ("basic", "basic", "basic", "plus", "plus", "business")


def category(metric: str, score: int) -> int:
    """0 for unhappy, 1 for in between, 2 for happy."""
    return bisect(_BORDERS[metric], score)


def across(metric: str, score: int) -> list[int]:
    """All scores of another category."""
    low, high = SCALES[metric]
    return [other for other in range(low, high + 1) if category(metric, other) != category(metric, score)]


def comment(rng: Random, fields: Fields) -> str:
    """A comment that fits the score, the department and the language."""
    language, rank = fields["language"], category(fields["metric"], fields["score"])
    text = rng.choice(_COMMENTS[language][rank]).format(_SUBJECTS[fields.get("department", "")][language])
    return text[0].upper() + text[1:]


def customer(rng: Random, number: int) -> Fields:
    """Customer `number`: the same in every response."""
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    return {
        "id": f"C-{10_000 + number}",
        "account_id": f"A-{2_000 + number // 3}",
        "tier": rng.choice(_TIERS),
        "value": rng.randrange(100, 5_000),
        "contact_allowed": rng.random() < 0.9,
        "name": f"{first} {last}",
        "email": f"{first}.{last}{number}@example.{rng.choice(('com', 'org'))}".lower().replace("ë", "e"),
        "phone": rng.choice((f"+44 20 7946 0{rng.randrange(1000):03}", f"+1 202 555 01{rng.randrange(100):02}")),
    }


def response_id(rng: Random, source: str) -> str:
    """An id that looks like those of this platform."""
    match source:
        case "typeform":
            return f"{rng.getrandbits(128):032x}"
        case "formbricks":
            return f"cm7{rng.getrandbits(64):022x}"
        case _:
            return str(rng.randrange(10**15, 10**16))
