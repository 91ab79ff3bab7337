-- One row per cohort (customers by the month of their first order), channel of that first order or `all`, and month since
-- then, also where nobody bought: how many of them ordered in it. Read by reports on customers; a curve that ends, ends
-- with the data.
WITH firsts AS (
    SELECT customer_id, channel AS first_channel FROM curated.fct_customer_orders WHERE order_number = 1
),
bought AS (
    SELECT
        orders.customer_id,
        orders.cohort_month,
        CAST(DATE_TRUNC('month', orders.order_date) AS date) AS month_start,
        firsts.first_channel
    FROM curated.fct_customer_orders AS orders
    JOIN firsts
        ON firsts.customer_id = orders.customer_id
),
months AS (
    SELECT DISTINCT month_start FROM bought
),
cohorts AS (
    SELECT
        cohort_month,
        CASE WHEN GROUPING(first_channel) = 1 THEN 'all' ELSE first_channel END AS channel,
        COUNT(DISTINCT customer_id) AS active_customers_at_start
    FROM bought
    GROUP BY cohort_month, ROLLUP (first_channel)
),
active AS (
    SELECT
        cohort_month,
        month_start,
        CASE WHEN GROUPING(first_channel) = 1 THEN 'all' ELSE first_channel END AS channel,
        MEASURE(active_customers) AS active_customers
    FROM bought
    GROUP BY cohort_month, month_start, ROLLUP (first_channel)
),
filled AS (
    SELECT
        cohorts.cohort_month,
        cohorts.channel,
        months.month_start,
        cohorts.active_customers_at_start,
        COALESCE(active.active_customers, 0) AS active_customers
    FROM cohorts
    JOIN months
        ON months.month_start >= cohorts.cohort_month
    LEFT JOIN active
        ON active.cohort_month = cohorts.cohort_month AND active.channel = cohorts.channel
        AND active.month_start = months.month_start
)
SELECT
    CAST(cohort_month AS date) AS cohort_month,
    CAST(channel AS varchar) AS channel,
    CAST(month_start AS date) AS month_start,
    CAST(
        12 * (EXTRACT(year FROM month_start) - EXTRACT(year FROM cohort_month))
        + EXTRACT(month FROM month_start) - EXTRACT(month FROM cohort_month)
    AS integer) AS active_customers_after_months,
    CAST(active_customers_at_start AS bigint) AS active_customers_at_start,
    CAST(active_customers AS bigint) AS active_customers,
    CAST(MEASURE(retention) AS numeric(38, 6)) AS retention
FROM filled
