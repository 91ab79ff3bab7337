-- Rules of sales_order_detail, one column per rule, the count of failing rows. PostgreSQL's dialect.
SELECT
  COUNT(*) FILTER (WHERE b._problems IS NOT NULL) AS "SRC-000:sales_order_detail",
  COUNT(*) FILTER (WHERE b.sales_order_id IS NULL) AS "SAL-064",
  COUNT(*) FILTER (WHERE b.sales_order_detail_id IS NULL) AS "SAL-065",
  COUNT(*) FILTER (WHERE b.order_qty IS NULL) AS "SAL-066",
  COUNT(*) FILTER (WHERE b.product_id IS NULL) AS "SAL-067",
  COUNT(*) FILTER (WHERE b.special_offer_id IS NULL) AS "SAL-068",
  COUNT(*) FILTER (WHERE b.unit_price IS NULL) AS "SAL-069",
  COUNT(*) FILTER (WHERE b.unit_price_discount IS NULL) AS "SAL-070",
  COUNT(*) FILTER (WHERE b.line_total IS NULL) AS "SAL-071",
  COUNT(*) FILTER (WHERE b.rowguid IS NULL) AS "SAL-072",
  COUNT(*) FILTER (WHERE b.modified_date IS NULL) AS "SAL-073",
  COUNT(*) FILTER (WHERE b.sales_order_id IS NOT NULL AND o.sales_order_id IS NULL) AS "SAL-074",
  COUNT(*) FILTER (WHERE b.special_offer_id IS NOT NULL AND b.product_id IS NOT NULL AND x.product_id IS NULL) AS "SAL-075",
  COUNT(b.rowguid) - COUNT(DISTINCT b.rowguid) AS "SAL-079",
  COUNT(*) FILTER (WHERE p.product_id IS NOT NULL AND CASE WHEN o.online_order_flag
    THEN ABS(b.unit_price - COALESCE(h.list_price, p.list_price)) > 0.0001
    ELSE b.unit_price > COALESCE(h.list_price, p.list_price) + 0.0001 END) AS "SAL-007",
  COUNT(*) FILTER (WHERE NOT o.online_order_flag AND b.unit_price > 0.6 * COALESCE(h.list_price, p.list_price) + 0.0001) AS "SAL-080",
  COUNT(*) FILTER (WHERE b.order_qty < 1) AS "SAL-081",
  COUNT(*) FILTER (WHERE b.unit_price < 0) AS "SAL-082",
  COUNT(*) FILTER (WHERE b.unit_price_discount < 0 OR b.unit_price_discount > 1) AS "SAL-083",
  COUNT(*) FILTER (WHERE ABS(b.line_total - b.order_qty * b.unit_price * (1 - b.unit_price_discount)) > 0.0001) AS "SAL-084",
  COUNT(*) FILTER (WHERE b.unit_price_discount > s.discount_pct) AS "SAL-085",
  COUNT(*) FILTER (WHERE b.unit_price_discount < s.discount_pct) AS "SAL-086",
  COUNT(*) FILTER (WHERE b.order_qty < s.min_qty OR b.order_qty > s.max_qty) AS "SAL-087",
  COUNT(*) FILTER (WHERE CAST(o.order_date AS DATE) < CAST(s.start_date AS DATE) OR CAST(o.order_date AS DATE) > CAST(s.end_date AS DATE)) AS "SAL-088",
  COUNT(*) FILTER (WHERE CAST(o.order_date AS DATE) < CAST(p.sell_start_date AS DATE)) AS "SAL-089",
  COUNT(*) FILTER (WHERE CAST(o.order_date AS DATE) > CAST(p.sell_end_date AS DATE)) AS "SAL-090",
  COUNT(*) FILTER (WHERE NOT p.finished_goods_flag) AS "SAL-091",
  COUNT(*) FILTER (WHERE o.sales_order_id IS NOT NULL AND k.product_id IS NULL) AS "SAL-092",
  COUNT(*) FILTER (WHERE b.line_total < b.order_qty * COALESCE(k.standard_cost, p.standard_cost)) AS "SAL-093",
  COUNT(*) FILTER (WHERE NOT b.carrier_tracking_number ~ '^[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{2}$') AS "SAL-094",
  COUNT(*) FILTER (WHERE NOT b.rowguid ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$') AS "SAL-127"
FROM candidate.sales_order_detail AS b
LEFT JOIN candidate.sales_order_header AS o ON o.sales_order_id = b.sales_order_id
LEFT JOIN validated.product AS p ON p.product_id = b.product_id
LEFT JOIN validated.special_offer AS s ON s.special_offer_id = b.special_offer_id
LEFT JOIN validated.special_offer_product AS x ON x.special_offer_id = b.special_offer_id AND x.product_id = b.product_id
LEFT JOIN validated.product_list_price_history AS h
  ON h.product_id = b.product_id AND CAST(h.start_date AS DATE) <= CAST(o.order_date AS DATE)
  AND COALESCE(CAST(h.end_date AS DATE), DATE '9999-12-31') >= CAST(o.order_date AS DATE)
LEFT JOIN validated.product_cost_history AS k
  ON k.product_id = b.product_id AND CAST(k.start_date AS DATE) <= CAST(o.order_date AS DATE)
  AND COALESCE(CAST(k.end_date AS DATE), DATE '9999-12-31') >= CAST(o.order_date AS DATE)
