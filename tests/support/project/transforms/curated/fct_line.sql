-- One row per order line. Read by the tests.
-- incremental_by: order_id
SELECT
    CAST(l.order_id AS integer) AS order_id,
    CAST(l.line_id AS integer) AS line_id,
    CAST(o.customer_id AS integer) AS customer_id,
    CAST(c.region AS varchar) AS region,
    CAST(o.order_date AS date) AS order_day,
    CAST(l.amount AS numeric(19, 4)) AS amount
FROM validated.order_line AS l
JOIN validated.sales_order AS o ON o.order_id = l.order_id
JOIN validated.customer AS c ON c.customer_id = o.customer_id
