"""The files that people write, as types: contracts, suites and checkpoints.

Both engines forgive typos; these models do not. They know the files' form, not what an engine makes of it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dataops.declared.files import File
from dataops.declared.layers import RAW, Kind
from dataops.declared.routing import Routing
from dataops.declared.yaml_files import Strict

Severity = Literal["critical", "warning", "info"]
ColumnType = Literal["integer", "smallint", "bigint", "boolean", "date", "timestamp", "varchar", "numeric"]
REGEX_PARTS = re.compile(r"\\.|\[\^?\]?[^\]]*\]|\.|\(\?", re.DOTALL)  # escapes, classes, and what is refused
GRAINS = ("day", "week", "month")
REASONS = ("source fixed", "rule fixed", "expected change", "duplicate", "false positive")
RULE_ID = re.compile(r"[A-Z]{3}-[0-9]{3}(:[a-z][a-z0-9_]*)?")  # with a table: a metric's rule, which each table has


def _rule_id(text: str) -> str:
    if not RULE_ID.fullmatch(text):
        raise ValueError(f"{text!r} is not a rule id such as SAL-007")
    return text


def _sentence(text: str) -> str:
    if not text.strip():
        raise ValueError("say why, in a sentence")
    return " ".join(text.split())


def share(value: object) -> float:
    """'5%' -> 0.05; 0.05 -> 0.05."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?\s*%", value.strip()):
        value = float(value.strip().rstrip("%")) / 100
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError(f"{value!r} is not a share such as 5% or 0.05, from 0 to 1")


def _children(value: object) -> object:
    """Datasets by name; a word for all of them would take in those that a parent can do without."""
    if not isinstance(value, str):
        return value
    raise ValueError(f"lists the children without which their parent is not whole, e.g. [order_line]; not {value!r}")


def _refuse_baseline(severity: str, *, baseline: bool) -> None:
    if baseline and severity == "critical":
        raise ValueError("a critical rule has no baseline: what may not be published needs a waiver, which ends")


Finite = Annotated[float, Field(allow_inf_nan=False)]
RuleId = Annotated[str, AfterValidator(_rule_id)]
Sentence = Annotated[str, AfterValidator(_sentence)]
Share = Annotated[float, BeforeValidator(share)]


class Drift(Strict):
    """What becomes of a load when the source's columns are no longer those of the contract.

    `new` columns may be ignored; one that is missing or re-typed may evolve where nothing is lost by it. See ADR 11.
    """

    new: Literal["ignore", "block"] = "ignore"
    missing: Literal["block", "evolve"] = "block"
    retyped: Literal["block", "evolve"] = "block"
    reordered: Literal["ignore", "block"] = "ignore"


class Reference(Strict):
    """A foreign key: every row's value must be found in the other dataset's key."""

    to: str
    rule: RuleId
    why: Sentence
    severity: Severity = "critical"


class Cube(Strict):
    """A table of figures by period: its rows for a whole period are those where every dimension says `all`.

    `grain` is how long a period is, or the column that says it of each row; `by` are columns of the facts themselves
    by which it is split, without rows for the whole.
    """

    period: str
    grain: str
    all: dict[str, str] = Field(default_factory=dict)
    by: tuple[str, ...] = ()

    def grains(self) -> tuple[str, ...]:
        """How long the periods in it may be."""
        return (self.grain,) if self.grain in GRAINS else GRAINS


def _days(value: object) -> int:
    """'30d' -> 30."""
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,3}d", value.strip()):
        return int(value.strip()[:-1])
    raise ValueError(f"{value!r} is no number of days such as 30d")


class Promise(Strict):
    """What a dataset's owner promises its readers: a share of rows that are right, a share of the time on time."""

    valid: Share | None = None
    on_time: Share | None = None
    over: Annotated[int, BeforeValidator(_days)]

    @model_validator(mode="after")
    def _promises_something(self) -> Promise:
        if self.valid is None and self.on_time is None:
            raise ValueError("a promise says valid, on_time or both, each a share such as 99.5%")
        return self


SPAN = {"m": 60, "h": 3600, "d": 86400}


def _span(value: object) -> int:
    """'90m' -> 5400 seconds."""
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,3}[mhd]", value.strip()):
        return int(value.strip()[:-1]) * SPAN[value.strip()[-1]]
    raise ValueError(f"{value!r} is no length of time such as 30m, 2h or 1d")


class Changes(Strict):
    """How a live source tells that a row changed: by a column that whoever changes it sets to the time.

    A row may become visible later than it was stamped; each load looks `overlap` back, in seconds.
    """

    by: str
    overlap: Annotated[int, BeforeValidator(_span)] = 3600


class Platform(Strict):
    """The `x-dataops` block: what the platform needs to know about a dataset."""

    group: str
    key: Annotated[tuple[str, ...], Field(min_length=1)]
    owner: str
    source: str | None = None
    file: File | None = None  # of a source of files
    computed: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # columns that the source computes from others
    cursor: str | None = None
    follows: str | None = None
    changes: Changes | None = None
    deletes: Literal["never", "compare", "from_source"] = "never"  # how rows that the source has no more are found
    version: str | None = None  # the column that says which of two versions of a row is the newer one
    backwards: Literal["hold", "warn", "allow"] = "hold"  # what becomes of a row that is older than the one that stands
    references: dict[str, Reference] = Field(default_factory=dict)
    control: tuple[str, ...] = ()
    pii: tuple[str, ...] = ()
    may_be_empty: bool = False
    drift: Drift = Field(default_factory=Drift)
    cube: Cube | None = None
    slo: Promise | None = None

    @model_validator(mode="after")
    def _one_way_to_select(self) -> Platform:
        if self.cursor and self.follows:
            raise ValueError("cursor and follows exclude each other")
        if self.changes and not (self.cursor or self.follows):
            raise ValueError("changes is for what is loaded by windows; other rows are read whole each time")
        if self.deletes != "never" and not self.cursor:
            raise ValueError("deletes is for datasets with a cursor: others are read whole, or go with their parent")
        if self.version and not self.source:
            raise ValueError("version is for what is loaded; a model is built from what stands")
        if "backwards" in self.model_fields_set and not self.version:
            raise ValueError("backwards says what becomes of an older version; say which column is the version")
        return self


class Attributes(Strict):
    """What Soda carries along with a check, and the platform reads back."""

    rule: RuleId
    severity: Severity
    why: Sentence
    baseline: bool = False  # known failures are accepted; only worse ones are told

    @model_validator(mode="after")
    def _no_baseline_for_critical(self) -> Attributes:
        _refuse_baseline(self.severity, baseline=self.baseline)
        return self


class Threshold(Strict):
    """Soda's threshold, as far as contracts use it."""

    must_be: Finite | None = None
    must_not_be: Finite | None = None
    must_be_greater_than: Finite | None = None
    must_be_greater_than_or_equal: Finite | None = None
    must_be_less_than: Finite | None = None
    must_be_less_than_or_equal: Finite | None = None
    metric: Literal["count", "percent"] | None = None
    unit: Literal["day", "hour", "minute"] | None = None

    @model_validator(mode="after")
    def _says_a_bound(self) -> Threshold:
        if not any(name.startswith("must_") for name in self.model_fields_set):
            raise ValueError("a threshold says a bound, such as must_be_greater_than: 0")
        return self

    def allows(self, value: float) -> bool:
        """Whether the bounds are kept by this value."""
        bounds = {name: getattr(self, name) for name in _KEPT if getattr(self, name) is not None}
        return all(_KEPT[name](value, bound) for name, bound in bounds.items())


_KEPT: dict[str, Callable[[float, float], bool]] = {
    "must_be": operator.eq, "must_not_be": operator.ne, "must_be_greater_than": operator.gt,
    "must_be_greater_than_or_equal": operator.ge, "must_be_less_than": operator.lt,
    "must_be_less_than_or_equal": operator.le,
}  # fmt: skip


class _Check(Strict):
    name: Sentence
    attributes: Attributes
    qualifier: str | None = None
    threshold: Threshold | None = None


class SchemaCheck(_Check):
    """Columns and types are those of the contract."""

    allow_extra_columns: bool | None = None
    allow_other_column_order: bool | None = None


class DuplicateCheck(_Check):
    """No two rows share the value of a column or of several."""

    columns: tuple[str, ...] | None = None


class FreshnessCheck(_Check):
    """The newest value of a time column is young enough."""

    column: str
    now_variable: str | None = None


CHECK_TYPES = {
    "schema": SchemaCheck,
    "row_count": _Check,
    "missing": _Check,
    "duplicate": DuplicateCheck,
    "freshness": FreshnessCheck,
}


class CheckItem(Strict):
    """One item of a `checks` list: exactly one check type with its settings."""

    schema_: Annotated[SchemaCheck | None, Field(alias="schema")] = None
    row_count: _Check | None = None
    missing: _Check | None = None
    duplicate: DuplicateCheck | None = None
    freshness: FreshnessCheck | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> CheckItem:
        if len(self.model_fields_set) != 1 or self.check is None:
            raise ValueError(f"one check per item, one of {', '.join(CHECK_TYPES)}")
        return self

    @model_validator(mode="after")
    def _critical_tolerates_nothing(self) -> CheckItem:
        """What a critical rule finds is not published; how much of it a batch may hold is the quota's business."""
        threshold, strict = self.check.threshold, self.check.attributes.severity == "critical"
        if strict and self.type in {"missing", "duplicate"} and threshold and threshold.allows(1):
            raise ValueError(
                f"a critical {self.type} check has no tolerance: the checkpoint's quota is; drop threshold"
            )
        return self

    @property
    def needs_rows(self) -> bool:
        """Whether it is a critical row_count that 0 rows fail; without a threshold Soda wants one row at least."""
        check = self.check
        fails = not check.threshold or not check.threshold.allows(0)
        return self.type == "row_count" and check.attributes.severity == "critical" and fails

    @property
    def type(self) -> str:
        return next(iter(self.model_fields_set)).rstrip("_")

    @property
    def check(self) -> _Check:
        found: _Check = getattr(self, next(iter(self.model_fields_set)))
        return found


class Column(Strict):
    """A column as agreed; numeric columns say precision and scale."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]
    data_type: ColumnType
    numeric_precision: Annotated[int | None, Field(ge=1, le=38)] = None
    numeric_scale: Annotated[int | None, Field(ge=0, le=38)] = None
    source_name: str | None = None  # what it is called in a file, where that is more than another spelling
    checks: tuple[CheckItem, ...] = ()

    @model_validator(mode="after")
    def _numeric_is_sized(self) -> Column:
        sized = self.numeric_precision is not None and self.numeric_scale is not None
        if (self.data_type == "numeric") != sized:
            raise ValueError("numeric columns, and only they, say numeric_precision and numeric_scale")
        return self


class ContractFile(Strict):
    """The file contracts/<layer>/<table>.yml."""

    dataset: str
    platform: Annotated[Platform, Field(alias="x-dataops")]
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    checks: Annotated[tuple[CheckItem, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _columns_exist(self) -> ContractFile:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError("a column is listed twice")
        used = {*self.platform.key, *self.platform.control, *self.platform.pii}
        used |= {name for columns in self.platform.references for name in columns.replace(" ", "").split(",")}
        used |= {self.platform.cursor} if self.platform.cursor else set()
        used |= {self.platform.changes.by} if self.platform.changes else set()
        used |= {self.platform.version} if self.platform.version else set()
        if cube := self.platform.cube:
            used |= {cube.period, *cube.all, *cube.by, *({cube.grain} - set(GRAINS))}
        if unknown := sorted(used - set(names)):
            raise ValueError(f"x-dataops names columns that the contract does not list: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _version_has_an_order(self) -> ContractFile:
        for column in self.columns:
            if column.name == self.platform.version and column.data_type in {"varchar", "boolean"}:
                raise ValueError(f"version {column.name} is {column.data_type}; which is newer, numbers and times tell")
        return self

    @model_validator(mode="after")
    def _key_is_guarded(self) -> ContractFile:
        """A key that is empty or repeated finds no row or several when a batch is compared with what stands."""
        key = self.platform.key
        unique = (i.check for i in self.checks if i.type == "duplicate" and i.check.attributes.severity == "critical")
        if not any(set(getattr(check, "columns", None) or ()) == set(key) for check in unique):
            raise ValueError(f"no critical duplicate check over the key {', '.join(key)}")
        if unguarded := [name for name in key if name not in self.required]:
            raise ValueError(f"no critical missing check for {', '.join(unguarded)} of the key")
        return self

    @property
    def required(self) -> set[str]:
        """Columns of which a critical rule says that no value is missing."""
        return {
            column.name
            for column in self.columns
            for item in column.checks
            if item.type == "missing" and item.check.attributes.severity == "critical"
        }


class Meta(Strict):
    """What GX carries along with an expectation."""

    rule: RuleId
    baseline: bool = False


def _not_a_contract_matter(text: str) -> str:
    if text in CONTRACT_MATTERS:
        raise ValueError(
            f"{text} belongs to the contract ({CONTRACT_MATTERS[text]}); a rule is stated once, in one engine"
        )
    return text


CONTRACT_MATTERS = {
    "expect_column_values_to_be_unique": "duplicate",
    "expect_compound_columns_to_be_unique": "duplicate",
    "expect_column_values_to_not_be_null": "missing",
    "expect_column_values_to_be_of_type": "data_type",
    "expect_table_columns_to_match_ordered_list": "schema",
    "expect_column_to_exist": "schema",
}


class ExpectationItem(Strict):
    """One expectation in GX's own words."""

    type: Annotated[str, AfterValidator(_not_a_contract_matter)]
    kwargs: dict[str, Any]
    severity: Severity
    description: Sentence
    notes: Sentence
    meta: Meta

    @model_validator(mode="after")
    def _no_baseline_for_critical(self) -> ExpectationItem:
        _refuse_baseline(self.severity, baseline=self.meta.baseline)
        return self

    @model_validator(mode="after")
    def _judges_every_row(self) -> ExpectationItem:
        if self.severity == "critical" and "mostly" in self.kwargs:
            raise ValueError(
                "a critical rule has no `mostly`: what it finds is not published, the quota is the tolerance"
            )
        if "row_condition" in self.kwargs:
            raise ValueError("`row_condition` is not understood here: write unexpected_rows_expectation with a WHERE")
        if any(braces in str(self.kwargs.get("unexpected_rows_query", "")) for braces in ("{{", "}}")):
            raise ValueError("braces in SQL are written once, such as '^[0-9]{3}$'")
        return self

    @model_validator(mode="after")
    def _regex_means_the_same_everywhere(self) -> ExpectationItem:
        """RE2 and PostgreSQL disagree about `.` before a line break, letters such as backslash d, and `(?`."""
        regexes = [self.kwargs.get("regex"), *(self.kwargs.get("regex_list") or ())]
        for found in (m for text in regexes if isinstance(text, str) for m in REGEX_PARTS.finditer(text)):
            part = found.group()
            if part in {".", "(?"} or (part[0] == "\\" and part[1].isalnum()):
                raise ValueError(f"{part!r} in a regex differs between warehouses; write classes such as [0-9] or [^ ]")
        return self


class SuiteFile(Strict):
    """The file expectations/<layer>/<table>.yml."""

    suite: str
    expectations: Annotated[tuple[ExpectationItem, ...], Field(min_length=1)]


class Quota(Strict):
    """How much of a batch may be quarantined before the batch is held."""

    rows: Share
    money: Share | None = None


class Anomalies(Strict):
    """How closely a group's batches are compared with its own history.

    `sensitivity`: how many robust standard deviations are unusual; less finds more, and more that is nothing.
    """

    severity: Literal["warning", "critical", "off"] = "warning"
    sensitivity: Annotated[float, Field(gt=0, le=100)] = 5.0


class CheckpointFile(Strict):
    """The file checkpoints/<group>.yml."""

    group: str
    layer: str = RAW  # of its datasets, as in contracts/<layer>/
    kind: Kind = Kind.LOADED
    quota: Quota
    owner: str
    money: Annotated[str | None, Field(pattern=r"^[a-z0-9_]+\.[a-z0-9_]+$")] = None
    family: Annotated[tuple[str, ...], BeforeValidator(_children)] = ()  # without which what they follow is not whole
    deletions: Share = 0.05
    late_after_hours: Annotated[float | None, Field(gt=0, le=24 * 366)] = (
        None  # without a good delivery; None: never late
    )
    routing: Routing | None = None  # who is told what happens to its batches; None: nobody
    reasons: Annotated[tuple[Sentence, ...], Field(min_length=1)] = REASONS  # that an incident may be closed for
    anomalies: Anomalies = Field(default_factory=Anomalies)
