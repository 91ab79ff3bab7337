-- One row per week (from Monday) and cell of territory, category and channel, `all` standing for the whole of a dimension: what
-- does not add up, such as orders over categories, is right at every level. Read by the weekly report and the trend.
-- incremental_by: week_start
WITH sold AS (
    SELECT
        sales.*,
        COALESCE(territories.territory_name, 'none') AS territory,
        COALESCE(products.category_name, 'none') AS category
    FROM curated.fct_sales AS sales
    LEFT JOIN curated.dim_territory AS territories
        ON territories.territory_id = sales.territory_id
    LEFT JOIN curated.dim_product AS products
        ON products.product_id = sales.product_id
)
SELECT
    CAST(week_start AS date) AS week_start,
    CAST(CASE WHEN GROUPING(territory) = 1 THEN 'all' ELSE territory END AS varchar) AS territory,
    CAST(CASE WHEN GROUPING(category) = 1 THEN 'all' ELSE category END AS varchar) AS category,
    CAST(CASE WHEN GROUPING(channel) = 1 THEN 'all' ELSE channel END AS varchar) AS channel,
    CAST(MEASURE(revenue) AS numeric(38, 6)) AS revenue,
    CAST(MEASURE(orders) AS bigint) AS orders,
    CAST(MEASURE(average_order_value) AS numeric(38, 6)) AS average_order_value,
    CAST(MEASURE(units) AS bigint) AS units,
    CAST(MEASURE(cost) AS numeric(38, 6)) AS cost,
    CAST(MEASURE(gross_profit) AS numeric(38, 6)) AS gross_profit,
    CAST(MEASURE(margin) AS numeric(38, 6)) AS margin,
    CAST(MEASURE(discount) AS numeric(38, 6)) AS discount,
    CAST(MEASURE(list_value) AS numeric(38, 6)) AS list_value,
    CAST(MEASURE(price_realisation) AS numeric(38, 6)) AS price_realisation,
    CAST(MEASURE(lines) AS bigint) AS lines,
    CAST(MEASURE(active_customers) AS bigint) AS active_customers
FROM sold
GROUP BY week_start, CUBE (territory, category, channel)
