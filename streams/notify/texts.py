"""The words of messages, by language."""

from collections.abc import Mapping

PLACEHOLDERS = (
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
DIGEST_PLACEHOLDERS = ("new", "worse", "overdue", "won_back", "praise")
"""What may stand in braces in the title of a digest: counts."""

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
        "won_back": "Won back: the answer after the contact is not unhappy",
        "closed": "Closed, {reason}",
        "action_refused": "Not done, {reason}",
        "worsened": "Now {severity}: {metric} {score}, {department}",
        "digest": "The day: {new} new, {worse} worse, {overdue} overdue, {won_back} won back, {praise} praised",
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
        "won_back": "Teruggewonnen: het antwoord na het contact is niet ontevreden",
        "closed": "Gesloten, {reason}",
        "action_refused": "Niet gedaan, {reason}",
        "worsened": "Nu {severity}: {metric} {score}, {department}",
        "digest": "De dag: {new} nieuw, {worse} erger, {overdue} te laat, {won_back} teruggewonnen, {praise} geprezen",
    },
}

LABELS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "case": "Case", "customer": "Customer", "name": "Name", "email": "E-mail", "phone": "Phone", "score": "Score",
        "was": "was", "owner": "Owner", "due": "Due", "channel": "Answer by", "department": "Department",
        "agent": "Agent", "reasons": "Reasons", "informed": "Also for", "ticket": "Ticket", "begin": "Begin with",
        "note": "Note", "by": "By", "new": "New", "overdue": "Overdue", "won_back": "Won back", "praise": "Praise",
        "more": "and {count} more", "worse": "More severe", "now": "now", "newest": "Newest", "worst": "Worst",
    },
    "nl": {
        "case": "Zaak", "customer": "Klant", "name": "Naam", "email": "E-mail", "phone": "Telefoon", "score": "Score",
        "was": "was", "owner": "Eigenaar", "due": "Uiterlijk", "channel": "Antwoord via", "department": "Afdeling",
        "agent": "Medewerker", "reasons": "Redenen", "informed": "Ook voor", "ticket": "Ticket",
        "begin": "Begin met", "note": "Notitie", "by": "Door",
        "new": "Nieuw", "overdue": "Te laat", "won_back": "Teruggewonnen", "praise": "Lof", "more": "en nog {count}",
        "worse": "Ernstiger", "now": "nu", "newest": "Nieuwste", "worst": "Ergste",
    },
}  # fmt: skip

SEVERITIES: Mapping[str, Mapping[str, str]] = {
    "en": {"critical": "critical", "high": "high", "medium": "medium"},
    "nl": {"critical": "kritiek", "high": "hoog", "medium": "gemiddeld"},
}

REASONS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "detractor": "detractor", "passive": "passive", "promoter": "promoter", "dissatisfied": "dissatisfied",
        "neutral": "neutral", "satisfied": "satisfied", "hard": "found it hard", "easy": "found it easy",
        "contact_requested": "asks to be contacted", "was_promoter": "was a promoter",
        "stale": "too long ago", "no_contact": "cannot be reached", "opted_out": "does not want to be contacted",
        "cooldown": "has just been helped", "case_open": "has an open case", "asked_recently": "has just been asked",
        "retracted": "the answer was taken back", "done": "done", "declined": "declined", "expired": "time is up",
        "burst": "many at once", "reinstated": "the answer stands after all", "unhappy_again": "unhappy again",
        "answered_before": "another answer came before", "enriched": "more is known",
        "forgotten": "a customer is forgotten", "fixed": "the cause is fixed",
        "first_contact": "the first contact", "finish_by": "the whole",
        "not_for_asks": "not for asks", "only_for_asks": "only for asks", "still_open": "it is still open",
        "is_acknowledged": "it is taken up", "is_contacted": "the customer is contacted",
        "is_resolved": "it is resolved", "is_loop_closed": "the customer has been told", "is_closed": "it is closed",
        "comment_missing": "the comment is missing", "assignee_missing": "nobody is named",
        "root_cause_missing": "the root cause is missing", "other_case_open": "another case of the customer is open",
        "unhappy_since": "unhappy again since", "no_such_case": "there is no such case",
        "no_complaint": "no complaint", "improved": "better without a contact", "not_won_back": "not better after all",
        "before_the_case": "that was before the case", "in_the_future": "that is in the future",
    },
    "nl": {
        "detractor": "criticaster", "passive": "passief tevreden", "promoter": "promotor",
        "dissatisfied": "ontevreden", "neutral": "neutraal", "satisfied": "tevreden", "hard": "vond het moeilijk",
        "easy": "vond het makkelijk", "contact_requested": "vraagt om contact", "was_promoter": "was promotor",
        "stale": "te lang geleden", "no_contact": "niet te bereiken", "opted_out": "wil geen contact",
        "cooldown": "is net geholpen", "case_open": "heeft een open zaak", "asked_recently": "is net iets gevraagd",
        "retracted": "het antwoord is teruggenomen", "done": "gedaan", "declined": "wil het niet",
        "expired": "de tijd is om", "burst": "veel tegelijk", "reinstated": "het antwoord staat toch",
        "unhappy_again": "opnieuw ontevreden", "answered_before": "er was al een ander antwoord",
        "enriched": "er is meer bekend", "forgotten": "een klant is vergeten", "fixed": "de oorzaak is verholpen",
        "first_contact": "het eerste contact", "finish_by": "het geheel",
        "not_for_asks": "niet voor vragen", "only_for_asks": "alleen voor vragen", "still_open": "nog open",
        "is_acknowledged": "al opgepakt", "is_contacted": "er is al contact", "is_resolved": "al opgelost",
        "is_loop_closed": "de klant heeft al antwoord", "is_closed": "al gesloten",
        "comment_missing": "de toelichting ontbreekt", "assignee_missing": "er is niemand genoemd",
        "root_cause_missing": "de hoofdoorzaak ontbreekt", "other_case_open": "een andere zaak van de klant is open",
        "unhappy_since": "sindsdien weer ontevreden", "no_such_case": "die zaak is er niet",
        "no_complaint": "geen klacht", "improved": "beter zonder contact", "not_won_back": "toch niet beter",
        "before_the_case": "dat was voor de zaak", "in_the_future": "dat is in de toekomst",
    },
}  # fmt: skip
"""Words for the reasons of npsflow itself. Reasons from the settings are shown as they are."""

LANGUAGES = tuple(TITLES)
