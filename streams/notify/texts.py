"""What messages to a team say, in the languages there are."""

from collections.abc import Mapping

PLACES = (
    "case",
    "metric",
    "score",
    "severity",
    "department",
    "customer",
    "owner",
    "by",
    "to",
    "due",
    "cause",
    "reason",
)
"""What may stand in braces in a title."""
DIGEST_PLACES = ("new", "overdue", "won_back", "praise")
"""The same of a digest's: how many there are."""

TITLES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "opened": "New case, {severity}: {metric} {score}, {department}",
        "enriched": "More is known: {metric} {score}, {department}",
        "joined": "Unhappy once more: {metric} {score}, {department}",
        "suppressed": "Left alone, {reason}: {metric} {score}, {department}",
        "acknowledged": "Taken up by {by}",
        "contacted": "Contacted by {by}",
        "warned": "Answer soon, by {due}: {metric} {score}, {department}",
        "escalated": "Escalated to {to}: {metric} {score}, {department}",
        "breached": "Too late, it was due {due}: {metric} {score}, {department}",
        "resolved": "Resolved by {by}: {cause}",
        "loop_closed": "The customer has been told, by {by}",
        "reopened": "Open again: {metric} {score}, {department}",
        "assigned": "It is now with {owner}",
        "noted": "A note by {by}",
        "won_back": "Won back: a later answer is not unhappy",
        "closed": "Closed, {reason}",
        "action_refused": "Not done, {reason}",
        "digest": "The day: {new} new, {overdue} overdue, {won_back} won back, {praise} praised",
    },
    "nl": {
        "opened": "Nieuwe zaak, {severity}: {metric} {score}, {department}",
        "enriched": "Er is meer bekend: {metric} {score}, {department}",
        "joined": "Opnieuw ontevreden: {metric} {score}, {department}",
        "suppressed": "Geen actie, {reason}: {metric} {score}, {department}",
        "acknowledged": "Opgepakt door {by}",
        "contacted": "Contact gelegd door {by}",
        "warned": "Reageer snel, uiterlijk {due}: {metric} {score}, {department}",
        "escalated": "Geëscaleerd naar {to}: {metric} {score}, {department}",
        "breached": "Te laat, het moest {due}: {metric} {score}, {department}",
        "resolved": "Opgelost door {by}: {cause}",
        "loop_closed": "De klant heeft antwoord, van {by}",
        "reopened": "Weer open: {metric} {score}, {department}",
        "assigned": "Nu bij {owner}",
        "noted": "Een notitie van {by}",
        "won_back": "Teruggewonnen: een later antwoord is niet ontevreden",
        "closed": "Gesloten, {reason}",
        "action_refused": "Niet gedaan, {reason}",
        "digest": "De dag: {new} nieuw, {overdue} te laat, {won_back} teruggewonnen, {praise} geprezen",
    },
}

LABELS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "case": "Case", "customer": "Customer", "name": "Name", "email": "E-mail", "phone": "Phone", "score": "Score",
        "was": "was", "owner": "Owner", "due": "Due", "channel": "Answer by", "department": "Department",
        "agent": "Agent", "reasons": "Reasons", "ticket": "Ticket", "begin": "Begin with", "note": "Note", "by": "By",
        "new": "New", "overdue": "Overdue", "won_back": "Won back", "praise": "Praise", "more": "and {count} more",
    },
    "nl": {
        "case": "Zaak", "customer": "Klant", "name": "Naam", "email": "E-mail", "phone": "Telefoon", "score": "Score",
        "was": "was", "owner": "Eigenaar", "due": "Uiterlijk", "channel": "Antwoord via", "department": "Afdeling",
        "agent": "Medewerker", "reasons": "Redenen", "ticket": "Ticket", "begin": "Begin met", "note": "Notitie",
        "by": "Door", "new": "Nieuw", "overdue": "Te laat", "won_back": "Teruggewonnen", "praise": "Lof",
        "more": "en nog {count}",
    },
}  # fmt: skip

SEVERITIES: Mapping[str, Mapping[str, str]] = {
    "en": {"critical": "critical", "high": "high", "medium": "medium"},
    "nl": {"critical": "kritiek", "high": "hoog", "medium": "gemiddeld"},
}

LANGUAGES = tuple(TITLES)
