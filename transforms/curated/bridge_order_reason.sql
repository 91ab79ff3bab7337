-- One row per order and reason given for it, with the share of the order that the reason stands for. Orders without a
-- reason have no row. Read by campaign analysis, which multiplies an order's revenue by the weight.
-- incremental_by: sales_order_id
WITH numbered AS (
    SELECT
        sales_order_id,
        sales_reason_id,
        COUNT(*) OVER (PARTITION BY sales_order_id) AS order_reasons,
        ROW_NUMBER() OVER (PARTITION BY sales_order_id ORDER BY sales_reason_id) AS position
    FROM validated.sales_order_header_sales_reason
),
shares AS (
    -- Millionths in whole numbers: 1/3 has no finite decimal, and both engines must sum to exactly 1.
    SELECT
        numbered.*,
        CAST(FLOOR(1000000.0 / order_reasons) AS integer) AS share
    FROM numbered
)
SELECT
    CAST(sales_order_id AS integer) AS sales_order_id,
    CAST(sales_reason_id AS integer) AS sales_reason_id,
    CAST(order_reasons AS integer) AS order_reasons,
    -- The first reasons take what rounding left over, a millionth each.
    CAST(0.000001 * CASE
        WHEN position <= 1000000 - share * CAST(order_reasons AS integer) THEN share + 1
        ELSE share
    END AS numeric(7, 6)) AS weight
FROM shares
