-- One row per category, and `all`, on the day of the stock snapshot: what lies there, how fast it goes, what does not go.
-- Products without a stock record are unknown and in no figure. Read by reports on stock.
WITH last_day AS (
    SELECT MAX(order_date) AS last_day FROM curated.fct_sales
),
sold AS (
    SELECT
        CASE WHEN GROUPING(COALESCE(products.category_name, 'none')) = 1 THEN 'all'
            ELSE COALESCE(products.category_name, 'none') END AS category,
        SUM(sales.cost) AS cost_12_months
    FROM curated.fct_sales AS sales
    CROSS JOIN last_day
    LEFT JOIN curated.dim_product AS products
        ON products.product_id = sales.product_id
    WHERE sales.order_date > last_day.last_day - 365
    GROUP BY ROLLUP (COALESCE(products.category_name, 'none'))
),
stocked AS (
    SELECT stock.*, COALESCE(products.category_name, 'none') AS category
    FROM curated.fct_inventory_snapshot AS stock
    LEFT JOIN curated.dim_product AS products
        ON products.product_id = stock.product_id
),
figures AS (
    SELECT
        snapshot_date,
        CASE WHEN GROUPING(category) = 1 THEN 'all' ELSE category END AS category,
        MEASURE(stock_units) AS stock_units,
        MEASURE(stock_value) AS stock_value,
        MEASURE(dead_stock_value) AS dead_stock_value
    FROM stocked
    GROUP BY snapshot_date, ROLLUP (category)
),
beside AS (
    SELECT figures.*, COALESCE(sold.cost_12_months, 0) AS cost_12_months
    FROM figures
    LEFT JOIN sold
        ON sold.category = figures.category
)
SELECT
    CAST(snapshot_date AS date) AS snapshot_date,
    CAST(category AS varchar) AS category,
    CAST(stock_units AS bigint) AS stock_units,
    CAST(stock_value AS numeric(38, 4)) AS stock_value,
    CAST(dead_stock_value AS numeric(38, 4)) AS dead_stock_value,
    CAST(cost_12_months AS numeric(38, 6)) AS cost_12_months,
    CAST(MEASURE(turnover) AS numeric(38, 6)) AS turnover,
    CAST(MEASURE(days_of_cover) AS numeric(38, 6)) AS days_of_cover
FROM beside
