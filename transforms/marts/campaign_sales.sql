-- One row per day, product, channel and special offer, the "no discount" one included: what was sold, and at which
-- discount. Read by the effects of campaigns.
-- incremental_by: order_date
SELECT
    CAST(order_date AS date) AS order_date,
    CAST(product_id AS integer) AS product_id,
    CAST(channel AS varchar) AS channel,
    CAST(special_offer_id AS integer) AS special_offer_id,
    CAST(COUNT(*) AS integer) AS lines,
    CAST(SUM(order_qty) AS bigint) AS units,
    CAST(SUM(discount_amount) AS numeric(38, 6)) AS discount,
    CAST(SUM(revenue) AS numeric(38, 6)) AS revenue
FROM curated.fct_sales
GROUP BY order_date, product_id, channel, special_offer_id
