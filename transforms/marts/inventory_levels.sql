-- One row per product: in how many days an order arrives and who says so, and the levels that are declared for it. Made goods
-- wait for manufacture, bought ones for the average of their vendors. Read by the stock policy and by buyers.
WITH vendors AS (
    SELECT product_id, CEIL(AVG(average_lead_time)) AS days, MIN(min_order_qty) AS smallest_order
    FROM validated.product_vendor
    GROUP BY product_id
)
SELECT
    CAST(products.product_id AS integer) AS product_id,
    CAST(CASE WHEN products.make_flag THEN products.days_to_manufacture ELSE vendors.days END AS integer)
        AS lead_time_days,
    CAST(CASE
        WHEN products.make_flag THEN 'manufacture'
        WHEN vendors.days IS NOT NULL THEN 'vendors'
        ELSE 'nobody'
    END AS varchar) AS lead_time_from,
    CAST(products.safety_stock_level AS integer) AS declared_safety_stock,
    CAST(products.reorder_point AS integer) AS declared_reorder_point,
    CAST(vendors.smallest_order AS integer) AS smallest_order
FROM validated.product AS products
LEFT JOIN vendors
    ON vendors.product_id = products.product_id
