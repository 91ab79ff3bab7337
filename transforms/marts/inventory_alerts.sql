-- One row per product that is short. A product that gets a row has become short, one that loses it has recovered: a message
-- follows the difference between two publications, so an hourly run that finds the same tells nobody again. No column
-- moves with the clock. Read by the stock digest, buyers and the warehouse.
SELECT
    CAST(product_id AS integer) AS product_id,
    CAST(product_name AS varchar) AS product_name,
    CAST(CASE WHEN state = 'out of stock' THEN 'critical' ELSE 'warning' END AS varchar) AS severity,
    CAST(state AS varchar) AS because,
    CAST(location_name AS varchar) AS location_name,
    -- The stock records say the same since then; it may have been short before.
    CAST(unchanged_since AS date) AS short_since,
    CAST(on_hand AS bigint) AS on_hand,
    CAST(on_order AS bigint) AS on_order,
    CAST(GREATEST(COALESCE(reorder_point, 0), declared_reorder_point) AS bigint) AS needed,
    CAST(suggested_order AS bigint) AS suggested_order
FROM marts.inventory_cover
WHERE state IN ('out of stock', 'below the declared reorder point', 'below the computed reorder point')
