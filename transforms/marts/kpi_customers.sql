-- One row per day, week or month and cell of territory and channel: who bought, who for the first time, who again.
-- Customers are counted once at every level; levels must not be summed. Read by reports on customers.
WITH periods AS (
    SELECT 'day' AS grain, order_date AS period_start, territory_id, channel, customer_id, order_number
    FROM curated.fct_customer_orders
    UNION ALL
    SELECT 'week' AS grain, CAST(DATE_TRUNC('week', order_date) AS date) AS period_start, territory_id, channel,
        customer_id, order_number
    FROM curated.fct_customer_orders
    UNION ALL
    SELECT 'month' AS grain, CAST(DATE_TRUNC('month', order_date) AS date) AS period_start, territory_id, channel,
        customer_id, order_number
    FROM curated.fct_customer_orders
),
bought AS (
    SELECT periods.*, COALESCE(territories.territory_name, 'none') AS territory
    FROM periods
    LEFT JOIN curated.dim_territory AS territories
        ON territories.territory_id = periods.territory_id
)
SELECT
    CAST(grain AS varchar) AS grain,
    CAST(period_start AS date) AS period_start,
    CAST(CASE WHEN GROUPING(territory) = 1 THEN 'all' ELSE territory END AS varchar) AS territory,
    CAST(CASE WHEN GROUPING(channel) = 1 THEN 'all' ELSE channel END AS varchar) AS channel,
    CAST(MEASURE(active_customers) AS bigint) AS active_customers,
    CAST(MEASURE(new_customers) AS bigint) AS new_customers,
    CAST(MEASURE(returning_customers) AS bigint) AS returning_customers,
    CAST(MEASURE(repeat_customers) AS bigint) AS repeat_customers,
    CAST(MEASURE(repeat_rate) AS numeric(38, 6)) AS repeat_rate
FROM bought
GROUP BY grain, period_start, CUBE (territory, channel)
