-- One row per calendar day, over the full years that orders and stock movements touch.
-- Read by every fact with a date and by all reports that need empty days shown as such.
WITH activity AS (
    SELECT CAST(order_date AS date) AS day FROM validated.sales_order_header
    UNION ALL
    SELECT CAST(transaction_date AS date) AS day FROM validated.transaction_history
    UNION ALL
    -- The day of a stock snapshot; older changes of stock records would only add empty years.
    SELECT MAX(CAST(modified_date AS date)) AS day FROM validated.product_inventory
),
span AS (
    SELECT
        CAST(DATE_TRUNC('year', MIN(day)) AS date) AS first_day,
        CAST(DATE_TRUNC('year', MAX(day)) + INTERVAL '1 year' - INTERVAL '1 day' AS date) AS last_day
    FROM activity
),
days AS (
    SELECT span.first_day + CAST(g.n AS integer) AS day
    FROM span
    CROSS JOIN LATERAL GENERATE_SERIES(0, span.last_day - span.first_day) AS g(n)
),
parts AS (
    SELECT
        day,
        CAST(EXTRACT(year FROM day) AS integer) AS year,
        CAST(EXTRACT(quarter FROM day) AS integer) AS quarter,
        CAST(EXTRACT(month FROM day) AS integer) AS month,
        CAST(EXTRACT(day FROM day) AS integer) AS day_of_month,
        CAST(EXTRACT(isoyear FROM day) AS integer) AS iso_year,
        CAST(EXTRACT(week FROM day) AS integer) AS iso_week,
        CAST(EXTRACT(isodow FROM day) AS integer) AS weekday,
        CAST(DATE_TRUNC('month', day) AS date) AS month_start,
        CAST(DATE_TRUNC('month', day) + INTERVAL '1 month' - INTERVAL '1 day' AS date) AS month_end
    FROM days
)
SELECT
    CAST(day AS date) AS calendar_date,
    CAST(year * 10000 + month * 100 + day_of_month AS integer) AS date_key,
    CAST(year AS integer) AS year,
    CAST(quarter AS integer) AS quarter,
    CAST(month AS integer) AS month,
    CAST(day_of_month AS integer) AS day_of_month,
    -- Names are spelt out: the engines' own follow the server's locale.
    CAST(CASE month
        WHEN 1 THEN 'January' WHEN 2 THEN 'February' WHEN 3 THEN 'March' WHEN 4 THEN 'April'
        WHEN 5 THEN 'May' WHEN 6 THEN 'June' WHEN 7 THEN 'July' WHEN 8 THEN 'August'
        WHEN 9 THEN 'September' WHEN 10 THEN 'October' WHEN 11 THEN 'November' ELSE 'December'
    END AS varchar) AS month_name,
    CAST(iso_year AS integer) AS iso_year,
    CAST(iso_week AS integer) AS iso_week,
    CAST(weekday AS integer) AS weekday,
    CAST(CASE weekday
        WHEN 1 THEN 'Monday' WHEN 2 THEN 'Tuesday' WHEN 3 THEN 'Wednesday' WHEN 4 THEN 'Thursday'
        WHEN 5 THEN 'Friday' WHEN 6 THEN 'Saturday' ELSE 'Sunday'
    END AS varchar) AS weekday_name,
    CAST(weekday >= 6 AS boolean) AS is_weekend,
    CAST(month_start AS date) AS month_start,
    CAST(month_end AS date) AS month_end,
    CAST(day = month_end AS boolean) AS is_month_end
FROM parts
