-- One row per individual and day on which they ordered, with the number of orders and what the goods cost them; orders
-- of one day are one purchase. Stores are another business and not here. Read by lifetime value.
-- incremental_by: customer_id
SELECT
    CAST(sales.customer_id AS integer) AS customer_id,
    CAST(sales.order_date AS date) AS order_date,
    CAST(COUNT(DISTINCT sales.sales_order_id) AS integer) AS orders,
    CAST(SUM(sales.revenue) AS numeric(38, 6)) AS value
FROM curated.fct_sales AS sales
JOIN curated.dim_customer AS customer
    ON customer.customer_id = sales.customer_id
WHERE customer.customer_type = 'individual'
GROUP BY sales.customer_id, sales.order_date
