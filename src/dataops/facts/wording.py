"""Numbers, dates and periods in a reader's language, and the few words that reports are made of.

Formats are those of CLDR, by babel; figures are rounded here and nowhere before, halves away from zero.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal, format_percent

from dataops.declared.project import Language
from dataops.declared.reports import Period

NOTHING = "\N{EN DASH}"
WORDS: dict[str, tuple[str, str]] = {
    "total": ("Total", "Total"),
    "previous": ("the period before", "la période précédente"),
    "year_ago": ("a year before", "un an avant"),
    "rank": ("rank", "rang"),
    "unknown": ("unknown", "inconnu"),
    "none": (NOTHING, NOTHING),
    "summary": ("Summary", "Synthèse"),
    "definitions": ("Definitions", "Définitions"),
    "notes": ("Notes", "Notes"),
    "checks": ("What this rests on", "Ce sur quoi cela repose"),
    "figure": ("Figure", "Indicateur"),
    "value": ("Value", "Valeur"),
    "meaning": ("Meaning", "Signification"),
    "formula": ("Formula", "Formule"),
    "adds": ("Adds up", "Additivité"),
    "owner": ("Owner", "Responsable"),
    "group": ("Group", "Groupe"),
    "publication": ("Publication", "Publication"),
    "published": ("Published", "Publié le"),
    "receipt": ("Receipt", "Reçu"),
    "waivers": ("Waivers", "Dérogations"),
    "made_of": ("As of publication", "Selon la publication"),
    "reaches": ("Data reach up to", "Données jusqu'au"),
    "more": ("… and {n} more rows in the workbook", "… et {n} lignes de plus dans le classeur"),
    "empty": ("Nothing was sold in this period.", "Aucune vente dans cette période."),
    "not_over": (
        "This period is not over: the data reach up to {day}. Figures will grow.",
        "Cette période n'est pas terminée : les données s'arrêtent au {day}. Les chiffres augmenteront.",
    ),
    "adding": (
        "Figures are exact and rounded for display only, so rounded parts may not add up to a rounded total.",
        "Les chiffres sont exacts et arrondis à l'affichage seulement ; la somme d'arrondis peut différer du total.",
    ),
    "restated": (
        "{period} was restated: {figure}{cell} {change}. Changed: {first}; by {by}.",
        "{period} a été révisé : {figure}{cell} {change}. Modifié : {first} ; par {by}.",
    ),
    "page": ("Page", "Page"),
    "report_waits": ("Waiting: {title}, {period} – {why}", "En attente : {title}, {period} – {why}"),  # noqa: RUF001
    "report_follows": (
        "It was not made from figures that the gate holds. It follows by itself when they are published.",
        "Il n'a pas été établi sur des chiffres retenus. Il suivra de lui-même dès leur publication.",
    ),
    "last_good": ("Last good figures: {stand}.", "Derniers chiffres publiés : {stand}."),
    "times": ("{n} times {that}", "{n} fois {that}"),
    "up": ("up {n} on {that}", "en hausse de {n} par rapport à {that}"),
    "down": ("down {n} on {that}", "en baisse de {n} par rapport à {that}"),
    "same": ("the same as {that}", "comme {that}"),
    "turned": ("after {before} in {that}", "après {before} en {that}"),
    "not_comparable": ("not comparable with {that}", "non comparable à {that}"),
    "unknown_before": ("nothing known of {that}", "rien de connu pour {that}"),
    "additive": ("additive", "additif"),
    "semi-additive": ("not over time", "pas dans le temps"),
    "non-additive": ("no", "non"),
}
SHARE = Decimal("0.01")
MANY_TIMES = 3


@dataclass(frozen=True)
class Wording:
    """One language, and the money that figures are in."""

    language: Language
    currency: str

    @property
    def locale(self) -> Locale:
        return Locale.parse({"en": "en_GB", "fr": "fr_FR"}[self.language])

    def word(self, name: str, **values: str) -> str:
        """A word or sentence of `WORDS`; a name that is none of them is given back as it is."""
        texts = WORDS.get(name)
        text = texts[("en", "fr").index(self.language)] if texts else name
        return text.format(**values) if values else text

    def figure(self, value: object, unit: str | None, decimals: int | None, *, with_unit: bool = False) -> str:
        """A figure as people read it; without a value a dash."""
        if value is None:
            return self.word("none")
        places = decimals or 0
        if unit == "share":
            return str(format_percent(rounded(value, places + 2), self._pattern(places) + " %", locale=self.locale))
        number = rounded(value, places)
        if unit == "money" and with_unit:
            pattern = "¤¤ #,##0.00;¤¤ -#,##0.00" if self.language == "en" else "#,##0.00 ¤¤"
            return str(format_currency(number, self.currency, pattern, locale=self.locale, currency_digits=False))
        return str(format_decimal(number, self._pattern(places), locale=self.locale))

    @staticmethod
    def _pattern(places: int) -> str:
        return "#,##0" + ("." + "0" * places if places else "")

    def day(self, day: dt.date) -> str:
        """31 May 2026, 31 mai 2026."""
        return str(format_date(day, "d MMMM y", locale=self.locale))

    def period(self, period: Period) -> str:
        """May 2026; week 18, 28 April to 4 May 2026; 1 May 2026."""
        if period.grain == "month":
            return str(format_date(period.start, "MMMM y", locale=self.locale))
        if period.grain == "day":
            return self.day(period.start)
        week, to = {"en": ("week", "to"), "fr": ("semaine", "au")}[self.language]
        return f"{week} {period.start.isocalendar()[1]}, {self.day(period.start)} {to} {self.day(period.end)}"

    def short(self, period: Period) -> str:
        """As `period`, of a week its number alone."""
        return self.period(period).partition(",")[0] if period.grain == "week" else self.period(period)

    def against(self, value: object, before: object, that: str, unit: str, decimals: int) -> str:
        """How a figure compares with an earlier one: by its share, in times, or both where a share says nothing."""
        if value is None or before is None:
            return self.word("unknown_before", that=that)
        now, then = Decimal(str(value)), Decimal(str(before))
        if now == then:
            return self.word("same", that=that)
        if then <= 0 or now < 0:
            return self.word("turned", before=self.figure(then, unit, decimals, with_unit=True), that=that)
        if now / then >= MANY_TIMES:
            return self.word("times", n=self.figure(now / then, None, 1), that=that)
        share = self.figure(abs(now / then - 1), "share", 1)
        return self.word("up" if now > then else "down", n=share, that=that)


def rounded(value: object, places: int) -> Decimal:
    """Halves away from zero, as accountants do."""
    return Decimal(str(value)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
