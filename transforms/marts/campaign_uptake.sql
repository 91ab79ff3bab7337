-- One row per campaign and month in which something was sold under it. An offer stands on order lines; a reason is given
-- for whole orders, and an order with several is shared among them. Read by campaign reports.
WITH of_offers AS (
    SELECT
        sales.special_offer_id AS number,
        sales.month_start,
        COUNT(DISTINCT sales.sales_order_id) AS orders,
        SUM(sales.order_qty) AS units,
        SUM(sales.discount_amount) AS discount,
        SUM(sales.revenue) AS revenue,
        SUM(sales.cost) AS cost
    FROM curated.fct_sales AS sales
    JOIN curated.dim_promotion AS offer
        ON offer.special_offer_id = sales.special_offer_id
    WHERE NOT offer.is_no_discount
    GROUP BY sales.special_offer_id, sales.month_start
),
of_orders AS (
    SELECT
        sales_order_id,
        month_start,
        SUM(order_qty) AS units,
        SUM(discount_amount) AS discount,
        SUM(revenue) AS revenue,
        SUM(cost) AS cost
    FROM curated.fct_sales
    GROUP BY sales_order_id, month_start
),
of_reasons AS (
    SELECT
        given.sales_reason_id AS number,
        orders.month_start,
        COUNT(*) AS orders,
        SUM(CAST(CAST(orders.units AS numeric(18, 0)) * given.weight AS numeric(38, 6))) AS units,
        SUM(CAST(CAST(orders.discount AS numeric(24, 6)) * given.weight AS numeric(38, 6))) AS discount,
        SUM(CAST(CAST(orders.revenue AS numeric(24, 6)) * given.weight AS numeric(38, 6))) AS revenue,
        SUM(CAST(CAST(orders.cost AS numeric(24, 6)) * given.weight AS numeric(38, 6))) AS cost
    FROM curated.bridge_order_reason AS given
    JOIN curated.dim_sales_reason AS reason
        ON reason.sales_reason_id = given.sales_reason_id
    JOIN of_orders AS orders
        ON orders.sales_order_id = given.sales_order_id
    WHERE reason.reason_type IN ('Marketing', 'Promotion')
    GROUP BY given.sales_reason_id, orders.month_start
),
both_kinds AS (
    SELECT 'offer' AS kind, number, month_start, orders, CAST(units AS numeric(38, 6)) AS units, discount, revenue, cost
    FROM of_offers
    UNION ALL
    SELECT 'reason' AS kind, number, month_start, orders, units, discount, revenue, cost
    FROM of_reasons
)
SELECT
    CAST(kind || ' ' || CAST(number AS varchar) AS varchar) AS campaign,
    CAST(month_start AS date) AS month_start,
    CAST(kind AS varchar) AS kind,
    CAST(number AS integer) AS number,
    CAST(orders AS bigint) AS orders,
    CAST(units AS numeric(38, 6)) AS units,
    CAST(discount AS numeric(38, 6)) AS discount,
    CAST(revenue AS numeric(38, 6)) AS revenue,
    CAST(cost AS numeric(38, 6)) AS cost,
    CAST(revenue - cost AS numeric(38, 6)) AS gross_profit
FROM both_kinds
