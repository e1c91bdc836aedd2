"""The language of a response, as platforms write it, made a code. What is no language is unknown, never another one."""

import re
from functools import lru_cache

_TAG = re.compile(
    r"([A-Za-z]{2,3})((?:[-_][A-Za-z0-9]{2,8})*)(?:\.[\w-]+|@\w+)*", re.ASCII
)  # BCP 47, or as POSIX has it
_ASIDE = re.compile(r"\s*[(\[,/-].*", re.DOTALL)  # English (UK)

_NAMES = {
    "ar": "ara arabic العربية", "bg": "bul bulgarian български", "bn": "ben bengali বাংলা", "ca": "cat catalan català",
    "cs": "ces cze czech čeština česky", "da": "dan danish dansk", "de": "deu ger german deutsch duits allemand",
    "el": "ell gre greek ελληνικά", "en": "eng english engels englisch anglais inglés", "et": "est estonian eesti",
    "es": "spa spanish español castellano spaans spanisch espagnol", "fa": "fas per persian farsi فارسی",
    "fi": "fin finnish suomi", "fr": "fra fre french français francais frans französisch", "ga": "gle irish gaeilge",
    "he": "heb hebrew עברית", "hi": "hin hindi हिन्दी", "hr": "hrv croatian hrvatski", "hu": "hun hungarian magyar",
    "id": "ind indonesian", "it": "ita italian italiano italiaans italienisch italien", "ja": "jpn japanese 日本語",
    "ko": "kor korean 한국어", "lt": "lit lithuanian lietuvių", "lv": "lav latvian latviešu", "ms": "msa malay melayu",
    "nb": "nob bokmål", "nl": "nld dut dutch nederlands flemish vlaams niederländisch néerlandais",
    "no": "nor norwegian norsk", "pl": "pol polish polski", "pt": "por portuguese português portugees portugiesisch",
    "ro": "ron rum romanian română", "ru": "rus russian русский", "sk": "slk slo slovak slovenčina",
    "sl": "slv slovenian slovene slovenščina", "sr": "srp serbian српски srpski", "sv": "swe swedish svenska",
    "sw": "swa swahili kiswahili", "ta": "tam tamil தமிழ்", "th": "tha thai ไทย", "tr": "tur turkish türkçe turks",
    "uk": "ukr ukrainian українська", "ur": "urd urdu اردو", "vi": "vie vietnamese", "zh": "zho chi chinese 中文",
}  # fmt: skip
_CODES = {name: code for code, names in _NAMES.items() for name in names.split()}
_NO_LANGUAGE = {"und", "mis", "mul", "zxx"}  # ISO 639-2 for undetermined, uncoded, several, none


def language_code(text: str | None) -> str | None:
    """`nl` of nl, nld, Dutch or Nederlands, `en-GB` of en-GB; None where it is unknown which language is meant.

    A code of two letters, and what follows it, is left as it is written.
    """
    text = (text or "").strip()
    if (tag := _TAG.fullmatch(text)) and (language := tag[1].lower()) not in _NO_LANGUAGE:
        return _CODES.get(language, tag[1]) + tag[2]
    return _CODES.get(_ASIDE.sub("", text).casefold())


@lru_cache(maxsize=1_000)
def main_language(text: str | None) -> str | None:
    """The same without region and script, in small letters."""
    code = language_code(text)
    return None if code is None else re.split("[-_]", code.lower())[0]
