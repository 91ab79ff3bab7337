-- One row per product that is stocked or sold: what is on hand and on order, how long it lasts, and the reorder point that its
-- demand and lead time ask for beside the one that is declared. Without a stock record on hand is unknown, not 0.
-- Read by the stock report, alerts and buyers.
WITH on_hand AS (
    SELECT
        product_id,
        SUM(quantity) AS on_hand,
        MAX(CASE WHEN place = 1 THEN location_name END) AS location_name
    FROM (
        SELECT
            product_id,
            quantity,
            location_name,
            ROW_NUMBER() OVER (PARTITION BY product_id ORDER BY quantity DESC, location_id) AS place
        FROM curated.fct_inventory_snapshot
    ) AS shelves
    GROUP BY product_id
),
changed AS (
    SELECT product_id, MAX(CAST(modified_date AS date)) AS unchanged_since
    FROM validated.product_inventory
    GROUP BY product_id
),
snapshot AS (
    SELECT MAX(snapshot_date) AS snapshot_date FROM curated.fct_inventory_snapshot
),
bought AS (
    -- Pending and approved orders; what was received is on hand, what was rejected does not come.
    SELECT lines.product_id, SUM(GREATEST(lines.order_qty - lines.received_qty, 0)) AS open_units
    FROM validated.purchase_order_detail AS lines
    JOIN validated.purchase_order_header AS orders
        ON orders.purchase_order_id = lines.purchase_order_id
    WHERE orders.status IN (1, 2)
    GROUP BY lines.product_id
),
made AS (
    SELECT product_id, SUM(GREATEST(order_qty - stocked_qty - scrapped_qty, 0)) AS open_units
    FROM validated.work_order
    WHERE end_date IS NULL
    GROUP BY product_id
),
known AS (
    SELECT
        products.product_id,
        products.product_name,
        COALESCE(products.category_name, 'none') AS category,
        products.is_discontinued,
        on_hand.on_hand,
        on_hand.location_name,
        changed.unchanged_since,
        COALESCE(bought.open_units, 0) + COALESCE(made.open_units, 0) AS on_order,
        policy.demand_class,
        ROUND(policy.demand_per_week / 7, 6) AS demand_per_day,
        policy.lead_time_days,
        policy.safety_stock,
        policy.reorder_point,
        levels.declared_safety_stock,
        levels.declared_reorder_point,
        levels.smallest_order
    FROM curated.dim_product AS products
    LEFT JOIN on_hand
        ON on_hand.product_id = products.product_id
    LEFT JOIN changed
        ON changed.product_id = products.product_id
    LEFT JOIN bought
        ON bought.product_id = products.product_id
    LEFT JOIN made
        ON made.product_id = products.product_id
    LEFT JOIN marts.inventory_policy AS policy
        ON policy.product_id = products.product_id
    LEFT JOIN marts.inventory_levels AS levels
        ON levels.product_id = products.product_id
),
judged AS (
    SELECT
        known.*,
        snapshot.snapshot_date,
        CASE WHEN demand_per_day > 0 THEN FLOOR(on_hand / demand_per_day) END AS days_left,
        -- To the reorder point and four weeks beyond; without a forecast to the safety stock that is declared.
        CEIL(COALESCE(reorder_point + 28 * demand_per_day, declared_safety_stock) - on_hand - on_order) AS lacking,
        CASE
            WHEN on_hand IS NULL THEN 'unknown'
            WHEN is_discontinued THEN 'discontinued'
            WHEN on_hand = 0 THEN 'out of stock'
            WHEN on_hand < declared_reorder_point THEN 'below the declared reorder point'
            WHEN on_hand + on_order < reorder_point THEN 'below the computed reorder point'
            ELSE 'enough'
        END AS state
    FROM known
    CROSS JOIN snapshot
)
SELECT
    CAST(product_id AS integer) AS product_id,
    CAST(snapshot_date AS date) AS snapshot_date,
    CAST(product_name AS varchar) AS product_name,
    CAST(category AS varchar) AS category,
    CAST(state AS varchar) AS state,
    CAST(on_hand AS bigint) AS on_hand,
    CAST(location_name AS varchar) AS location_name,
    CAST(unchanged_since AS date) AS unchanged_since,
    CAST(on_order AS bigint) AS on_order,
    CAST(demand_class AS varchar) AS demand_class,
    CAST(demand_per_day AS numeric(20, 6)) AS demand_per_day,
    CAST(lead_time_days AS integer) AS lead_time_days,
    CAST(safety_stock AS bigint) AS safety_stock,
    CAST(reorder_point AS bigint) AS reorder_point,
    CAST(declared_safety_stock AS integer) AS declared_safety_stock,
    CAST(declared_reorder_point AS integer) AS declared_reorder_point,
    CAST(days_left AS bigint) AS days_left,
    -- Beyond ten years a date says no more than that there is no hurry.
    CAST(CASE WHEN days_left < 3650 THEN snapshot_date + CAST(days_left AS integer) END AS date) AS stock_out_date,
    CAST(CASE
        WHEN state IN ('unknown', 'discontinued') OR lacking <= 0 THEN 0
        ELSE GREATEST(lacking, COALESCE(smallest_order, 0))
    END AS bigint) AS suggested_order
FROM judged
