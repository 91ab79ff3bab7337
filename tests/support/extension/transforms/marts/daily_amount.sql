-- One row per day on which something was ordered, in the currency of the rates. Read by the tests.
-- incremental_by: order_day
SELECT
    CAST(f.order_day AS date) AS order_day,
    CAST(COUNT(DISTINCT f.order_id) AS integer) AS orders,
    CAST(SUM(f.amount * r.rate) AS numeric(19, 4)) AS amount
FROM curated.fct_line AS f
JOIN validated.rate AS r ON r.region = f.region
GROUP BY f.order_day
