-- One row per week (from Monday) and product that was sold in it, out of the movements of stock, current and archived; only
-- weeks that are over. What is used up in production is not recorded as a movement. Read by forecasts and stock policy.
WITH movements AS (
    SELECT product_id, transaction_type, CAST(transaction_date AS date) AS day, quantity
    FROM validated.transaction_history
    UNION ALL
    SELECT product_id, transaction_type, CAST(transaction_date AS date) AS day, quantity
    FROM validated.transaction_history_archive
),
sold AS (
    SELECT product_id, CAST(DATE_TRUNC('week', day) AS date) AS week_start, quantity
    FROM movements
    WHERE transaction_type = 'S'
),
span AS (
    SELECT MAX(day) AS last_day FROM movements WHERE transaction_type = 'S'
)
SELECT
    CAST(sold.week_start AS date) AS week_start,
    CAST(sold.product_id AS integer) AS product_id,
    CAST(SUM(sold.quantity) AS bigint) AS units
FROM sold
CROSS JOIN span
WHERE sold.week_start + 6 <= span.last_day
GROUP BY sold.week_start, sold.product_id
