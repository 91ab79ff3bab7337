-- One row per day, week or month and cell, beside the period before and the same period of the year before (for weeks
-- 52 weeks before). Empty where the data do not reach so far back; 0 where nothing was sold. Read by all reports.
WITH figures AS (
    SELECT 'day' AS grain, order_date AS period_start, order_date AS period_end,
        order_date - 1 AS before_start, CAST(order_date - INTERVAL '1 year' AS date) AS year_ago_start,
        territory, category, channel, revenue, orders, gross_profit, active_customers
    FROM marts.kpi_sales_daily
    UNION ALL
    SELECT 'week' AS grain, week_start AS period_start, week_start + 6 AS period_end,
        week_start - 7 AS before_start, week_start - 364 AS year_ago_start,
        territory, category, channel, revenue, orders, gross_profit, active_customers
    FROM marts.kpi_sales_weekly
    UNION ALL
    SELECT 'month' AS grain, month_start AS period_start,
        CAST(month_start + INTERVAL '1 month' - INTERVAL '1 day' AS date) AS period_end,
        CAST(month_start - INTERVAL '1 month' AS date) AS before_start,
        CAST(month_start - INTERVAL '1 year' AS date) AS year_ago_start,
        territory, category, channel, revenue, orders, gross_profit, active_customers
    FROM marts.kpi_sales_monthly
),
keyed AS (
    -- One key per cell and period: joined by five columns of a common table expression, PostgreSQL sorts by two of them
    -- and compares everything with everything within these.
    SELECT
        figures.*,
        CONCAT_WS(CHR(31), grain, territory, category, channel, CAST(period_start AS varchar)) AS cell,
        CONCAT_WS(CHR(31), grain, territory, category, channel, CAST(before_start AS varchar)) AS cell_before,
        CONCAT_WS(CHR(31), grain, territory, category, channel, CAST(year_ago_start AS varchar)) AS cell_year_ago
    FROM figures
),
span AS (
    SELECT MIN(order_date) AS first_day, MAX(order_date) AS last_day FROM marts.kpi_sales_daily
),
silent AS (
    -- Months in which a channel sold nothing although it sold in the same month of the year before: not a decline but
    -- data or business that is not there, and no growth rate should be made of it.
    SELECT DISTINCT CAST(old.month_start + INTERVAL '1 year' AS date) AS month_start
    FROM marts.kpi_sales_monthly AS old
    LEFT JOIN marts.kpi_sales_monthly AS now
        ON now.month_start = CAST(old.month_start + INTERVAL '1 year' AS date)
        AND now.channel = old.channel AND now.territory = 'all' AND now.category = 'all'
    WHERE old.channel <> 'all' AND old.territory = 'all' AND old.category = 'all' AND now.month_start IS NULL
)
SELECT
    CAST(f.grain AS varchar) AS grain,
    CAST(f.period_start AS date) AS period_start,
    CAST(f.territory AS varchar) AS territory,
    CAST(f.category AS varchar) AS category,
    CAST(f.channel AS varchar) AS channel,
    CAST(f.period_end AS date) AS period_end,
    CAST(f.revenue AS numeric(38, 6)) AS revenue,
    CAST(CASE WHEN f.before_start >= span.first_day THEN COALESCE(p.revenue, 0) END AS numeric(38, 6))
        AS revenue_previous,
    CAST(CASE WHEN f.year_ago_start >= span.first_day THEN COALESCE(y.revenue, 0) END AS numeric(38, 6))
        AS revenue_year_ago,
    CAST(f.orders AS bigint) AS orders,
    CAST(CASE WHEN f.before_start >= span.first_day THEN COALESCE(p.orders, 0) END AS bigint) AS orders_previous,
    CAST(CASE WHEN f.year_ago_start >= span.first_day THEN COALESCE(y.orders, 0) END AS bigint) AS orders_year_ago,
    CAST(f.gross_profit AS numeric(38, 6)) AS gross_profit,
    CAST(CASE WHEN f.before_start >= span.first_day THEN COALESCE(p.gross_profit, 0) END AS numeric(38, 6))
        AS gross_profit_previous,
    CAST(CASE WHEN f.year_ago_start >= span.first_day THEN COALESCE(y.gross_profit, 0) END AS numeric(38, 6))
        AS gross_profit_year_ago,
    CAST(f.active_customers AS bigint) AS active_customers,
    CAST(CASE WHEN f.before_start >= span.first_day THEN COALESCE(p.active_customers, 0) END AS bigint)
        AS active_customers_previous,
    CAST(CASE WHEN f.year_ago_start >= span.first_day THEN COALESCE(y.active_customers, 0) END AS bigint)
        AS active_customers_year_ago,
    CAST(CASE
        WHEN f.period_start < span.first_day THEN 'begins before the data'
        WHEN f.period_end > span.last_day THEN 'not over'
        WHEN f.grain = 'month' AND silent.month_start IS NOT NULL THEN 'a channel is silent'
    END AS varchar) AS partial_because,
    CAST(
        f.period_start < span.first_day OR f.period_end > span.last_day
        OR (f.grain = 'month' AND silent.month_start IS NOT NULL)
    AS boolean) AS is_partial
FROM keyed AS f
CROSS JOIN span
LEFT JOIN keyed AS p
    ON p.cell = f.cell_before
LEFT JOIN keyed AS y
    ON y.cell = f.cell_year_ago
LEFT JOIN silent
    ON silent.month_start = f.period_start
