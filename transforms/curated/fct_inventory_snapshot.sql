-- One row per product and location with a stock record, as of the latest stock movement. A product without a record
-- has no row: its stock is unknown, not zero. Read by stock monitoring, days of cover and the value of stock.
WITH snapshot AS (
    -- Movements age into the archive, so the latest is here; before the first one, the last change of a stock record.
    SELECT COALESCE(
        (SELECT MAX(CAST(transaction_date AS date)) FROM validated.transaction_history),
        (SELECT MAX(CAST(modified_date AS date)) FROM validated.product_inventory)
    ) AS snapshot_date
),
sold AS (
    SELECT detail.product_id, MAX(CAST(header.order_date AS date)) AS last_sold_date
    FROM validated.sales_order_detail AS detail
    JOIN validated.sales_order_header AS header
        ON header.sales_order_id = detail.sales_order_id
    GROUP BY detail.product_id
),
on_hand AS (
    -- Levels are set per product, so stock is compared with them over all locations.
    SELECT product_id, SUM(CAST(quantity AS integer)) AS product_quantity
    FROM validated.product_inventory
    GROUP BY product_id
)
SELECT
    CAST(stock.product_id AS integer) AS product_id,
    CAST(stock.location_id AS integer) AS location_id,
    CAST(snapshot.snapshot_date AS date) AS snapshot_date,
    CAST(location.name AS varchar) AS location_name,
    CAST(stock.shelf AS varchar) AS shelf,
    CAST(stock.bin AS integer) AS bin,
    CAST(stock.quantity AS integer) AS quantity,
    CAST(on_hand.product_quantity AS integer) AS product_quantity,
    CAST(product.safety_stock_level AS integer) AS safety_stock_level,
    CAST(product.reorder_point AS integer) AS reorder_point,
    CAST(on_hand.product_quantity < product.safety_stock_level AS boolean) AS is_below_safety_stock,
    CAST(on_hand.product_quantity < product.reorder_point AS boolean) AS is_below_reorder_point,
    CAST(product.standard_cost AS numeric(19, 4)) AS standard_cost,
    CAST(stock.quantity * product.standard_cost AS numeric(38, 4)) AS stock_value,
    CAST(sold.last_sold_date AS date) AS last_sold_date,
    -- What is only built into other products leaves no sale, so its stock cannot be told dead from alive.
    CAST(
        COALESCE(product.finished_goods_flag, FALSE)
        AND (sold.last_sold_date IS NULL OR sold.last_sold_date < snapshot.snapshot_date - 365)
    AS boolean) AS is_dead_stock
FROM validated.product_inventory AS stock
JOIN on_hand
    ON on_hand.product_id = stock.product_id
CROSS JOIN snapshot
LEFT JOIN validated.product AS product
    ON product.product_id = stock.product_id
LEFT JOIN sold
    ON sold.product_id = stock.product_id
LEFT JOIN validated.location AS location
    ON location.location_id = stock.location_id
