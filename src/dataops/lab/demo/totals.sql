-- One row: order lines, revenue and gross profit of orders before a day, straight from the source's tables.
-- Written apart from transforms/ on purpose: read by the demo, which compares it with what was published.
-- Cost is the one valid on the order date; where none is, the product's current one.
SELECT
    COUNT(*) AS lines,
    SUM(l.line_total) AS revenue,
    SUM(l.line_total - l.order_qty * COALESCE(
        (
            SELECT MAX(c.standard_cost)
            FROM costs AS c
            WHERE c.product_id = l.product_id
                AND c.start_date <= o.order_date
                AND (c.end_date IS NULL OR o.order_date <= c.end_date)
        ),
        p.standard_cost
    )) AS gross_profit
FROM lines AS l
JOIN orders AS o ON o.sales_order_id = l.sales_order_id
JOIN products AS p ON p.product_id = l.product_id
WHERE o.order_date >= $since AND o.order_date < $until
