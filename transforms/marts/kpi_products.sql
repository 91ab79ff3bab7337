-- One row per week or month and product that sold in it, ranked by revenue, profit and pace within the period; `velocity`
-- counts only days on which it was on sale and the data reach. Read by reports on products; 1 is the best.
WITH span AS (
    SELECT MIN(order_date) AS first_day, MAX(order_date) AS last_day FROM curated.fct_sales
),
periods AS (
    SELECT 'week' AS grain, week_start AS period_start, week_start + 6 AS period_end,
        product_id, sales_order_id, order_qty, line_total, gross_profit, list_price
    FROM curated.fct_sales
    UNION ALL
    SELECT 'month' AS grain, month_start AS period_start,
        CAST(month_start + INTERVAL '1 month' - INTERVAL '1 day' AS date) AS period_end,
        product_id, sales_order_id, order_qty, line_total, gross_profit, list_price
    FROM curated.fct_sales
),
figures AS (
    SELECT
        grain,
        period_start,
        period_end,
        product_id,
        MEASURE(revenue) AS revenue,
        MEASURE(orders) AS orders,
        MEASURE(units) AS units,
        MEASURE(gross_profit) AS gross_profit,
        MEASURE(margin) AS margin,
        MEASURE(list_value) AS list_value,
        MEASURE(price_realisation) AS price_realisation
    FROM periods
    GROUP BY grain, period_start, period_end, product_id
),
on_sale AS (
    SELECT
        figures.*,
        -- A sale after the declared end, or before the start, is a day on which it was on sale all the same.
        GREATEST(1, LEAST(figures.period_end, span.last_day, COALESCE(products.sell_end_date, span.last_day))
            - GREATEST(figures.period_start, span.first_day, products.sell_start_date) + 1) AS units_days_on_sale
    FROM figures
    CROSS JOIN span
    LEFT JOIN curated.dim_product AS products
        ON products.product_id = figures.product_id
),
paced AS (
    SELECT on_sale.*, MEASURE(velocity) AS velocity FROM on_sale
)
SELECT
    CAST(grain AS varchar) AS grain,
    CAST(period_start AS date) AS period_start,
    CAST(product_id AS integer) AS product_id,
    CAST(revenue AS numeric(38, 6)) AS revenue,
    CAST(orders AS bigint) AS orders,
    CAST(units AS bigint) AS units,
    CAST(gross_profit AS numeric(38, 6)) AS gross_profit,
    CAST(margin AS numeric(38, 6)) AS margin,
    CAST(list_value AS numeric(38, 6)) AS list_value,
    CAST(price_realisation AS numeric(38, 6)) AS price_realisation,
    CAST(units_days_on_sale AS integer) AS units_days_on_sale,
    CAST(velocity AS numeric(38, 6)) AS velocity,
    CAST(RANK() OVER (PARTITION BY grain, period_start ORDER BY revenue DESC) AS integer) AS revenue_rank,
    CAST(RANK() OVER (PARTITION BY grain, period_start ORDER BY gross_profit DESC) AS integer) AS gross_profit_rank,
    CAST(RANK() OVER (PARTITION BY grain, period_start ORDER BY velocity DESC) AS integer) AS velocity_rank
FROM paced
