-- One row per order, with its place in the customer's series of orders: 1 is the first one ever, which also makes the
-- customer's cohort. Read by the customer figures, cohorts and lifetime value; amounts are in fct_sales, per line.
-- incremental_by: customer_id
WITH numbered AS (
    SELECT
        sales_order_id,
        CAST(order_date AS date) AS order_date,
        customer_id,
        territory_id,
        online_order_flag,
        ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY order_date, sales_order_id) AS order_number,
        MIN(CAST(order_date AS date)) OVER (PARTITION BY customer_id) AS first_order_date
    FROM validated.sales_order_header
)
SELECT
    CAST(sales_order_id AS integer) AS sales_order_id,
    CAST(order_date AS date) AS order_date,
    CAST(customer_id AS integer) AS customer_id,
    CAST(territory_id AS integer) AS territory_id,
    CAST(CASE WHEN online_order_flag THEN 'online' WHEN NOT online_order_flag THEN 'store' END AS varchar) AS channel,
    CAST(order_number AS integer) AS order_number,
    CAST(first_order_date AS date) AS first_order_date,
    CAST(DATE_TRUNC('month', first_order_date) AS date) AS cohort_month
FROM numbered
