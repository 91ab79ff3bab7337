-- Rules of currency_rate, one column per rule, the count of failing rows. PostgreSQL's dialect.
SELECT
  COUNT(*) FILTER (WHERE b._problems IS NOT NULL) AS "SRC-000:currency_rate",
  COUNT(*) FILTER (WHERE b.currency_rate_id IS NULL) AS "SAL-105",
  COUNT(*) FILTER (WHERE b.currency_rate_date IS NULL) AS "SAL-106",
  COUNT(*) FILTER (WHERE b.from_currency_code IS NULL) AS "SAL-107",
  COUNT(*) FILTER (WHERE b.to_currency_code IS NULL) AS "SAL-108",
  COUNT(*) FILTER (WHERE b.average_rate IS NULL) AS "SAL-109",
  COUNT(*) FILTER (WHERE b.end_of_day_rate IS NULL) AS "SAL-110",
  COUNT(*) FILTER (WHERE b.modified_date IS NULL) AS "SAL-111",
  COUNT(*) FILTER (WHERE b.from_currency_code IS NOT NULL AND f.currency_code IS NULL) AS "SAL-112",
  COUNT(*) FILTER (WHERE b.to_currency_code IS NOT NULL AND t.currency_code IS NULL) AS "SAL-113",
  COUNT(b.currency_rate_id) - COUNT(DISTINCT b.currency_rate_id) AS "SAL-115",
  COUNT(*) - COUNT(DISTINCT (b.currency_rate_date, b.from_currency_code, b.to_currency_code)) AS "SAL-116",
  COUNT(*) FILTER (WHERE b.average_rate <= 0) AS "SAL-117",
  COUNT(*) FILTER (WHERE b.end_of_day_rate <= 0) AS "SAL-118",
  COUNT(*) FILTER (WHERE ABS(b.end_of_day_rate - b.average_rate) > 0.1 * b.average_rate) AS "SAL-119",
  COUNT(*) FILTER (WHERE ABS(b.average_rate - y.average_rate) > 0.25 * y.average_rate) AS "SAL-120",
  COUNT(*) FILTER (WHERE b.from_currency_code = b.to_currency_code AND (b.average_rate <> 1 OR b.end_of_day_rate <> 1)) AS "SAL-121",
  COUNT(*) FILTER (WHERE b.from_currency_code <> 'USD') AS "SAL-122",
  COUNT(*) FILTER (WHERE b.currency_rate_date <> CAST(b.currency_rate_date AS DATE)) AS "SAL-123"
FROM candidate.currency_rate AS b
LEFT JOIN validated.currency AS f ON f.currency_code = b.from_currency_code
LEFT JOIN validated.currency AS t ON t.currency_code = b.to_currency_code
LEFT JOIN candidate.currency_rate AS y
  ON y.from_currency_code = b.from_currency_code AND y.to_currency_code = b.to_currency_code
  AND CAST(y.currency_rate_date AS DATE) = CAST(b.currency_rate_date - INTERVAL '1 day' AS DATE)
