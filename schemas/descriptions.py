"""What the published schemas say of each field: a sentence and an example.

They stand beside the types, not in them: whoever decodes a record pays nothing for them.
"""

from typing import Any, NamedTuple


class Description(NamedTuple):
    """`example` is a value that the field can have."""

    text: str
    example: Any


def describe(type_name: str, field: str) -> Description:
    """What is said of a field: of this type, else of every type that has it. Raises KeyError where nothing is."""
    return _OF_TYPE.get((type_name, field)) or _OF_FIELD[field]


def names() -> set[str]:
    """Of all fields that something is said of."""
    return _OF_FIELD.keys() | {field for _, field in _OF_TYPE}


_TIME = "2026-03-01T15:07:00Z"
_DIGEST = "0f3c5d1e2b4a69788796a5b4c3d2e1f0"
_ANSWER = {
    "alert_id": f"a-{_DIGEST}", "response_id": "r-1", "source": "typeform", "survey_id": "after-delivery",
    "metric": "nps", "score": 2, "severity": "critical", "submitted_at": _TIME, "comment": "A week late.",
}  # fmt: skip

_OF_FIELD: dict[str, Description] = {
    name: Description(text, example)
    for name, text, example in (
        ("account_id", "Your own id of the account or company that the customer belongs to.", "A-12"),
        ("acknowledged_at", "When somebody took the case on.", _TIME),
        ("action", "What a team did or wants done.", "contact"),
        ("action_id", "Id of the action; the same one twice counts once.", "act-1"),
        ("actionable", "Whether somebody can act on the alert; if not, `not_actionable` says why.", True),
        ("agent_id", "The employee who served the customer.", "agent-7"),
        ("alert_id", "Id of the alert of a response, the same after every replay.", f"a-{_DIGEST}"),
        ("alert_ids", "The alerts that the case is about.", [f"a-{_DIGEST}"]),
        ("answer", "The answer that it is about, if it is neither the newest nor the worst of the case.", _ANSWER),
        ("answers", "Answers to driver questions: why the score is what it is.", [{"topic": "speed", "score": 2}]),
        ("assignee", "Who is to own the case.", "anna"),
        ("at", "When it happened.", _TIME),
        ("attributes", "Up to 20 more facts, flat; each can be a dimension of segments.", {"region": "north"}),
        ("by", "Who did it: a person, a tool, or `npsflow`.", "anna"),
        ("case_id", "Id of the case.", f"c-{_DIGEST}"),
        ("category", "What the score means on its scale.", "detractor"),
        ("cause", "Why the earlier event stands no more.", "category"),
        ("changed", "Names of the fields that differ from the revision before.", ["comment"]),
        ("channel", "The channel of the survey; answer the customer there.", "email"),
        ("comment", "What the customer wrote; cut at 16 kB.", "The parcel came a week late."),
        ("contact_allowed", "Whether the customer may be contacted; absent if that is not known.", True),
        ("contact_requested", "Whether the customer asked to be contacted; an alert is then critical.", True),
        ("contacted_at", "When the customer was first contacted.", _TIME),
        ("customer", "Who answered; absent for an anonymous response.", {"id": "C-77", "tier": "plus"}),
        ("customer_id", "Your own number of the customer.", "C-77"),
        ("deleted", "True deletes the response; then only `source` and `response_id` are needed.", True),
        ("department", "The department that the answer is about.", "delivery"),
        ("detractors", "Number of answers from 0 to 6; of NPS and eNPS.", 12),
        ("due_at", "By when the customer should hear of you.", _TIME),
        ("email", "E-mail address of the customer.", "someone@example.com"),
        ("end", "End of the time that is counted, not included.", _TIME),
        ("ended_at", "When the case was over.", _TIME),
        ("evidence", "How much speaks for it, as when it fired; 1 on average where nothing is wrong.", 7350.0),
        ("finish_by", "By when the case should be over.", _TIME),
        ("follow_up_id", "Id of the follow-up of a response, the same after every replay.", f"f-{_DIGEST}"),
        ("high", "Upper end of the 95% interval of the score.", 51.2),
        ("histogram", "How many answers gave each score.", {"2": 1, "9": 3}),
        ("history", "What happened to the case, oldest first.", [{"at": _TIME, "what": "opened", "by": "npsflow"}]),
        ("id", "Your own number of the customer, never the survey platform's.", "C-77"),
        ("improved_at", "When a better answer came in though nobody had contacted the customer.", _TIME),
        ("improved_by", "That better answer, as source/response_id.", "typeform/r-2"),
        ("informed", "Who hears of the case besides its owner.", ["lead"]),
        ("internal", "True for an answer of your own staff: it enters no window and raises no alert.", False),
        ("invitation_id", "Id of the invitation that was answered, on its platform.", "inv-1"),
        ("journey_stage", "Where in their dealings with you the customer was asked.", "onboarding"),
        ("key", "Kafka key of the alerts: the customer's id, else source/response_id.", "C-77"),
        ("kind", "What the case is: one unhappy customer, many alerts at once, or something to ask.", "recovery"),
        ("language", "Language of the answer, as an IETF tag.", "nl"),
        ("lasted_s", "Seconds from `since` to `at`.", 266400),
        ("low", "Lower end of the 95% interval of the score.", 33.8),
        ("margin", "Half the width of the interval.", 8.7),
        ("max", "The greatest score that could be given.", 10),
        ("message", "What to begin with when the customer is addressed.", "We are sorry that the parcel came late."),
        ("metric", "What was asked for; it decides what the score means.", "nps"),
        ("min", "The least score that could be given.", 0),
        ("more_alerts", "How many alerts of the case `alert_ids` leaves out.", 0),
        ("n", "Number of answers.", 40),
        ("name", "Name of the customer.", "Someone"),
        ("newest", "The newest of the unhappy answers.", _ANSWER),
        ("not_actionable", "Why nobody can act on the alert: `stale` or `no_contact`.", "no_contact"),
        ("open_question", "What to ask a customer who wrote no comment.", "What went wrong?"),
        ("opened_at", "When the case began.", _TIME),
        ("owner", "Who is to act; empty for nobody yet.", "anna"),
        ("passives", "Number of answers 7 and 8; of NPS and eNPS.", 8),
        ("phone", "Telephone number of the customer.", "+31 20 555 0100"),
        ("plan", "What happens by itself, and when; for npsflow itself.", [[1772377620000, "warned", "anna"]]),
        ("previous_score", "What the same customer gave before on this metric.", 9),
        ("primary_contact", "Id of the person at your company who knows the customer.", "anna"),
        ("product", "The product that the answer is about.", "router"),
        ("promoters", "Number of answers 9 and 10; of NPS and eNPS.", 20),
        ("question", "The score question, as it was put.", "How likely are you to recommend us?"),
        ("question_id", "Id of the driver question on its platform.", "q2"),
        ("raised_at", "Timestamp of the record that raised the alert.", _TIME),
        ("reason", "Why, in a fixed word.", "stale"),
        ("reasons", "Why the severity is what it is.", ["detractor", "contact_requested"]),
        ("reference", "What the survey was about: a ticket, an order, a call.", {"type": "ticket", "id": "T-1"}),
        ("renews_at", "When the customer's contract is to be renewed.", "2026-06-30"),
        ("resolution", "Whether an hour is counted, or a day.", "1h"),
        ("resolved_at", "When the cause was dealt with.", _TIME),
        ("response_id", "Id of the answer on its platform; with `source` it names the response.", "r-1"),
        ("response_url", "Where the answer can be seen on its platform.", "https://example.com/responses/r-1"),
        ("restarted_at", "From when the deadlines count, of a case that was reopened.", _TIME),
        ("revision", "1 for the first event of this id, one more for each that follows.", 1),
        ("root_cause", "What went wrong, in a word of your own list.", "late_delivery"),
        ("scale", "The range of scores that could be given, if it is not the metric's own.", {"min": 0, "max": 10}),
        ("rule", "Name of the rule in `[[watch]]`.", "support"),
        ("score", "The score that the customer gave; 9.0 is 9.", 2),
        ("segment", "What the answers have in common, as it was spelled first; empty for all of them.",
         {"department": "Delivery"}),
        ("sent_at", "When the survey was offered.", _TIME),
        ("severity", "How much it matters.", "high"),
        ("since", "From when on the score is down, as far as the answers tell.", _TIME),
        ("source", "The platform; without a slash.", "typeform"),
        ("start", "Beginning of the time that is counted, included.", _TIME),
        ("status", "How far the case has come.", "acknowledged"),
        ("submitted_at", "When the score was given; windows count by it.", _TIME),
        ("sufficient", "Whether there are enough answers for the score to be read.", True),
        ("survey_id", "Id of the survey on its platform.", "after-support"),
        ("survey_kind", "Whether a survey is about the relationship or about one occasion.", "transactional"),
        ("survey_name", "Name of the survey.", "After support"),
        ("survey_version", "Version of the survey.", "3"),
        ("target", "The score that the rule demands.", 40.0),
        ("task", "What is to be done next, if it is no first contact.", "close_loop"),
        ("team", "The team that the answer is about.", "north"),
        ("test", "True for a trial: it is checked, enters no window and raises no alert.", False),
        ("text", "The answer, where it is no score.", "too slow"),
        ("thank", "Always true: every customer who answered is thanked.", True),
        ("tier", "Your class of the customer.", "plus"),
        ("topic", "What the driver question is about.", "speed"),
        ("touchpoint", "The page, shop or counter where the customer was asked.", "checkout"),
        ("type", "What kind of thing it is.", "ticket"),
        ("unit", "What score, low, high and margin are: points of NPS, percent of answers, or a mean.", "points"),
        ("updated_at", "When the answer was last changed; the newest version stands.", _TIME),
        ("url", "Where it can be seen.", "https://example.com/tickets/T-1"),
        ("value", "What the customer is worth to you, in your own currency.", 1200),
        ("warnings", "Fields of the response that were dropped, cut or moved.", ["customer.email"]),
        ("what", "What happened.", "opened"),
        ("window", "Length of the window.", "7d"),
        ("won_back_at", "When a better answer after the first contact came in.", _TIME),
        ("won_back_by", "That better answer, as source/response_id.", "typeform/r-2"),
        ("worsened_at", "When the severity of the case rose last.", _TIME),
        ("worst", "The worst of the unhappy answers.", _ANSWER),
    )
}  # fmt: skip
"""By name of the field."""

_OF_TYPE: dict[tuple[str, str], Description] = {
    ("EventAttributes", "id"): Description("Id of the event, as in `ce_id`.", f"a-{_DIGEST}.1"),
    ("EventAttributes", "time"): Description("Time of what caused the event, as in `ce_time`.", _TIME),
    ("EventAttributes", "type"): Description("What the event is, as in `ce_type`.", "npsflow.alert.raised.v1"),
    ("Answer", "score"): Description("The answer, where it is a number.", 3),
    ("Case", "action"): Description("What the customer is to be asked.", "referral"),
    ("FollowUp", "action"): Description("What the customer is to be asked; null for thanks alone.", "referral"),
    ("Reference", "id"): Description("Its id, where it comes from.", "T-1"),
    **{
        (name, "scale"): Description("Range of the scores that are counted.", "0-10")
        for name in ("Window", "Counts", "ScoreAlert")
    },
    ("ScoreAlert", "alert_id"): Description("Id of the alert, the same after every replay.", f"s-{_DIGEST}"),
    ("ScoreAlert", "kind"): Description("Whether a target is missed, or the score is below its own past.", "target"),
    ("ScoreAlert", "n"): Description("Number of answers since `since`.", 180),
    ("ScoreAlert", "reference"): Description(
        "What the score was held against: that of four weeks, less the margin.", 37.5
    ),
    ("ScoreAlert", "score"): Description("Of all answers since `since`, as in a window.", 21.4),
    ("Window", "score"): Description("NPS from -100 to 100, CSAT from 0 to 100, of CES the mean.", 42.5),
    **{
        (name, "comment"): Description("What the team wrote.", "Called, and sent a new one.")
        for name in ("TeamAction", "Entry", "ActionRefused")
    },
}
"""Where a field of this name means something else."""
