-- One row per month, product, territory and channel with sales: the cells of the monthly report on gross profit by
-- product and region. Sums and counts of lines add up over all four. Read by that report and by whoever drills down.
-- incremental_by: month_start
SELECT
    CAST(month_start AS date) AS month_start,
    CAST(product_id AS integer) AS product_id,
    CAST(territory_id AS integer) AS territory_id,
    CAST(channel AS varchar) AS channel,
    CAST(MEASURE(revenue) AS numeric(38, 6)) AS revenue,
    CAST(MEASURE(orders) AS bigint) AS orders,
    CAST(MEASURE(units) AS bigint) AS units,
    CAST(MEASURE(cost) AS numeric(38, 6)) AS cost,
    CAST(MEASURE(gross_profit) AS numeric(38, 6)) AS gross_profit,
    CAST(MEASURE(lines) AS bigint) AS lines,
    CAST(MEASURE(lines_below_cost) AS bigint) AS lines_below_cost,
    CAST(MEASURE(loss_below_cost) AS numeric(38, 6)) AS loss_below_cost
FROM curated.fct_sales
GROUP BY month_start, product_id, territory_id, channel
