"""The words that SQL of people may use: syntax, operators, types and functions, as classes of the parser.

An allow-list: what is not here is refused, whatever it is. Everything here only computes from the rows it is given.
`EVERYWHERE` is for models, rules and queries; `QUERIES` adds what depends on the moment or on floating point, which a
person may ask for but nothing may be published from.
"""

from __future__ import annotations

from sqlglot import exp

SYNTAX: frozenset[type[exp.Expression]] = frozenset({
    exp.Select, exp.From, exp.Where, exp.Join, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Offset,
    exp.Fetch, exp.With, exp.CTE, exp.Union, exp.Intersect, exp.Except, exp.Subquery, exp.Table, exp.TableAlias,
    exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Paren, exp.Tuple, exp.Distinct, exp.Window, exp.WindowSpec,
    exp.Lateral, exp.Values, exp.Filter, exp.Exists, exp.GenerateSeries, exp.ExplodingGenerateSeries,
    exp.Rollup, exp.Cube, exp.GroupingSets, exp.Grouping,
})  # fmt: skip
VALUES: frozenset[type[exp.Expression]] = frozenset({
    exp.Literal, exp.Boolean, exp.Null, exp.Interval, exp.Var, exp.DataType, exp.DataTypeParam, exp.Cast,
})  # fmt: skip
OPERATORS: frozenset[type[exp.Expression]] = frozenset({
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE,
    exp.LT, exp.LTE, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Between, exp.In, exp.Like, exp.ILike, exp.Escape,
    exp.RegexpLike, exp.RegexpILike, exp.DPipe, exp.Case, exp.If,
})  # fmt: skip
AGGREGATES: frozenset[type[exp.Expression]] = frozenset({
    exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.LogicalAnd, exp.LogicalOr, exp.GroupConcat,
})  # fmt: skip
# The result depends on an order, which has to be said.
ORDERED: frozenset[type[exp.Expression]] = frozenset({
    exp.RowNumber, exp.Lead, exp.Lag, exp.FirstValue, exp.LastValue, exp.NthValue, exp.Ntile,
    exp.Rank, exp.DenseRank,
})  # fmt: skip
SCALARS: frozenset[type[exp.Expression]] = frozenset({
    exp.Abs, exp.Ceil, exp.Floor, exp.Round, exp.Trunc, exp.Sign, exp.Greatest, exp.Least, exp.Coalesce, exp.Nullif,
    exp.Lower, exp.Upper, exp.Trim, exp.Length, exp.Substring, exp.Replace, exp.Concat, exp.ConcatWs, exp.Left,
    exp.Right, exp.Pad, exp.StrPosition, exp.StartsWith, exp.Translate, exp.Chr, exp.Ascii, exp.Repeat, exp.Reverse,
    exp.SplitPart, exp.Extract, exp.TimestampTrunc,
})  # fmt: skip
EVERYWHERE = SYNTAX | VALUES | OPERATORS | AGGREGATES | ORDERED | SCALARS
QUERIES = EVERYWHERE | frozenset({
    exp.CurrentDate, exp.CurrentTimestamp, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop,
    exp.Corr, exp.PercentileCont, exp.PercentileDisc, exp.WithinGroup, exp.PercentRank, exp.CumeDist, exp.Sqrt,
    exp.Pow, exp.Exp, exp.Ln,
})  # fmt: skip

# Those of contracts, and what arithmetic on dates gives.
TYPES = frozenset({
    exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT, exp.DType.DECIMAL, exp.DType.VARCHAR, exp.DType.TEXT,
    exp.DType.BOOLEAN, exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.INTERVAL,
})  # fmt: skip
QUERY_TYPES = TYPES | {exp.DType.DOUBLE}
# Parts of a date; the parser keeps them as raw text.
UNITS = frozenset({
    "YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "ISOYEAR", "ISODOW", "DOW", "DOY", "EPOCH",
    "YEARS", "MONTHS", "WEEKS", "DAYS", "HOURS", "MINUTES", "SECONDS",
})  # fmt: skip

# Arguments without which a function means nothing; the parser does not ask for them.
NEEDED: dict[type[exp.Expression], tuple[str, ...]] = {
    exp.SplitPart: ("delimiter", "part_index"),
    exp.Substring: ("start",),
    exp.Ceil: ("this",),
    exp.Floor: ("this",),
}

# What to write instead of what is refused most often.
INSTEAD = {
    "SimilarTo": "write ~ with a regular expression",
    "TimeToStr": "write EXTRACT, LPAD and ||",
    "StrToDate": "write CAST(… AS date)",
    "StrToTime": "write CAST(… AS timestamp)",
    "Format": "write ||",
    "IntDiv": "write / between integers",
    "TryCast": "write CAST",
    "Rand": "nothing may depend on chance",
    "Uuid": "nothing may depend on chance",
    "CurrentDate": "nothing may depend on the moment; the newest date in the data is MAX(…)",
    "CurrentTimestamp": "nothing may depend on the moment; the newest date in the data is MAX(…)",
    "ArrayAgg": "write STRING_AGG(… ORDER BY …)",
    "Array": "write IN (…) or VALUES",
    "AtTimeZone": "all times are UTC already",
    "Collate": "text is compared by code points everywhere",
    "AnyValue": "write MIN or MAX",
    "DistinctOn": "write ROW_NUMBER() OVER (PARTITION BY … ORDER BY …)",
}
