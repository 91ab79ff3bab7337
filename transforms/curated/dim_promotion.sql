-- One row per special offer, the "no discount" one included; offers without any order line are kept and flagged.
-- Read by campaign analysis, which must leave quantity rules out; joins on special_offer_id.
WITH used AS (
    SELECT DISTINCT special_offer_id FROM validated.sales_order_detail
)
SELECT
    CAST(offer.special_offer_id AS integer) AS special_offer_id,
    CAST(offer.description AS varchar) AS description,
    CAST(offer.type AS varchar) AS offer_type,
    CAST(offer.category AS varchar) AS category,
    CAST(offer.discount_pct AS numeric(10, 4)) AS discount_pct,
    CAST(offer.start_date AS date) AS start_date,
    CAST(offer.end_date AS date) AS end_date,
    CAST(offer.min_qty AS integer) AS min_qty,
    CAST(offer.max_qty AS integer) AS max_qty,
    -- A volume discount follows from the quantity ordered; nobody ran it as a campaign.
    CAST(offer.type = 'Volume Discount' AS boolean) AS is_quantity_rule,
    CAST(offer.type = 'No Discount' AS boolean) AS is_no_discount,
    CAST(used.special_offer_id IS NOT NULL AS boolean) AS has_lines
FROM validated.special_offer AS offer
LEFT JOIN used
    ON used.special_offer_id = offer.special_offer_id
