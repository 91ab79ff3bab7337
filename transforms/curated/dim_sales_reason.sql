-- One row per reason a customer can give for an order.
-- Read by campaign analysis through bridge_order_reason; joins on sales_reason_id.
WITH given AS (
    SELECT DISTINCT sales_reason_id FROM validated.sales_order_header_sales_reason
)
SELECT
    CAST(reason.sales_reason_id AS integer) AS sales_reason_id,
    CAST(reason.name AS varchar) AS reason_name,
    CAST(reason.reason_type AS varchar) AS reason_type,
    CAST(given.sales_reason_id IS NOT NULL AS boolean) AS has_orders
FROM validated.sales_reason AS reason
LEFT JOIN given
    ON given.sales_reason_id = reason.sales_reason_id
