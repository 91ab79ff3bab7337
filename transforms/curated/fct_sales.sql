-- One row per order line. Revenue is line_total (after discount, without tax and freight); cost and list price are
-- those valid on the order date. Read by every revenue, margin and discount report, and by lifetime value.
-- incremental_by: sales_order_id
WITH cost_periods AS (
    SELECT
        product_id,
        standard_cost,
        CAST(start_date AS date) AS valid_from,
        -- Periods must not overlap, else a line would count twice: each ends before the next begins. No NULLs and
        -- plain comparisons, so that both engines can join by hash.
        LEAST(
            COALESCE(CAST(end_date AS date) + 1, DATE '9999-12-31'),
            COALESCE(
                LEAD(CAST(start_date AS date)) OVER (PARTITION BY product_id ORDER BY start_date),
                DATE '9999-12-31'
            )
        ) AS valid_before
    FROM validated.product_cost_history
),
price_periods AS (
    SELECT
        product_id,
        list_price,
        CAST(start_date AS date) AS valid_from,
        LEAST(
            COALESCE(CAST(end_date AS date) + 1, DATE '9999-12-31'),
            COALESCE(
                LEAD(CAST(start_date AS date)) OVER (PARTITION BY product_id ORDER BY start_date),
                DATE '9999-12-31'
            )
        ) AS valid_before
    FROM validated.product_list_price_history
),
lines AS (
    SELECT
        detail.sales_order_id,
        detail.sales_order_detail_id,
        CAST(header.order_date AS date) AS order_date,
        header.customer_id,
        header.territory_id,
        header.online_order_flag,
        detail.product_id,
        detail.special_offer_id,
        detail.order_qty,
        detail.unit_price,
        detail.unit_price_discount,
        detail.line_total
    FROM validated.sales_order_detail AS detail
    JOIN validated.sales_order_header AS header
        ON header.sales_order_id = detail.sales_order_id
),
priced AS (
    SELECT
        lines.*,
        cost_periods.standard_cost IS NULL AS cost_is_estimated,
        COALESCE(cost_periods.standard_cost, product.standard_cost) AS standard_cost,
        price_periods.list_price IS NULL AS list_price_is_estimated,
        COALESCE(price_periods.list_price, product.list_price) AS list_price,
        -- Both engines keep 4 + 0 decimals here; the wider type leaves room for line_total's six.
        CAST(lines.order_qty * lines.unit_price AS numeric(38, 6)) AS gross_amount,
        CAST(lines.order_qty * COALESCE(cost_periods.standard_cost, product.standard_cost) AS numeric(38, 6)) AS cost
    FROM lines
    LEFT JOIN validated.product AS product
        ON product.product_id = lines.product_id
    LEFT JOIN cost_periods
        ON cost_periods.product_id = lines.product_id
        AND cost_periods.valid_from <= lines.order_date
        AND lines.order_date < cost_periods.valid_before
    LEFT JOIN price_periods
        ON price_periods.product_id = lines.product_id
        AND price_periods.valid_from <= lines.order_date
        AND lines.order_date < price_periods.valid_before
)
SELECT
    CAST(sales_order_id AS integer) AS sales_order_id,
    CAST(sales_order_detail_id AS integer) AS sales_order_detail_id,
    CAST(order_date AS date) AS order_date,
    -- Figures by week and month are built for the periods that changed; a period is found by its first day.
    CAST(DATE_TRUNC('week', order_date) AS date) AS week_start,
    CAST(DATE_TRUNC('month', order_date) AS date) AS month_start,
    CAST(customer_id AS integer) AS customer_id,
    CAST(product_id AS integer) AS product_id,
    CAST(territory_id AS integer) AS territory_id,
    CAST(special_offer_id AS integer) AS special_offer_id,
    CAST(CASE WHEN online_order_flag THEN 'online' WHEN NOT online_order_flag THEN 'store' END AS varchar) AS channel,
    CAST(order_qty AS integer) AS order_qty,
    CAST(unit_price AS numeric(19, 4)) AS unit_price,
    CAST(unit_price_discount AS numeric(19, 4)) AS unit_price_discount,
    CAST(gross_amount AS numeric(38, 6)) AS gross_amount,
    CAST(gross_amount - line_total AS numeric(38, 6)) AS discount_amount,
    CAST(line_total AS numeric(38, 6)) AS line_total,
    CAST(line_total AS numeric(38, 6)) AS revenue,
    CAST(standard_cost AS numeric(19, 4)) AS standard_cost,
    CAST(cost_is_estimated AS boolean) AS cost_is_estimated,
    CAST(cost AS numeric(38, 6)) AS cost,
    CAST(line_total - cost AS numeric(38, 6)) AS gross_profit,
    CAST(line_total < cost AS boolean) AS is_below_cost,
    CAST(list_price AS numeric(19, 4)) AS list_price,
    CAST(list_price_is_estimated AS boolean) AS list_price_is_estimated
FROM priced
