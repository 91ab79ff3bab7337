-- Rules of sales_order_header_sales_reason, one column per rule, the count of failing rows. PostgreSQL's dialect.
WITH promoted AS (
  SELECT DISTINCT d.sales_order_id FROM candidate.sales_order_detail AS d
  JOIN validated.special_offer AS s ON s.special_offer_id = d.special_offer_id WHERE s.type <> 'No Discount'
)
SELECT
  COUNT(*) FILTER (WHERE b._problems IS NOT NULL) AS "SRC-000:sales_order_header_sales_reason",
  COUNT(*) FILTER (WHERE b.sales_order_id IS NULL) AS "SAL-096",
  COUNT(*) FILTER (WHERE b.sales_reason_id IS NULL) AS "SAL-097",
  COUNT(*) FILTER (WHERE b.modified_date IS NULL) AS "SAL-098",
  COUNT(*) FILTER (WHERE b.sales_order_id IS NOT NULL AND o.sales_order_id IS NULL) AS "SAL-099",
  COUNT(*) FILTER (WHERE b.sales_reason_id IS NOT NULL AND r.sales_reason_id IS NULL) AS "SAL-100",
  COUNT(*) - COUNT(DISTINCT (b.sales_order_id, b.sales_reason_id)) AS "SAL-102",
  COUNT(*) FILTER (WHERE NOT o.online_order_flag) AS "SAL-103",
  COUNT(*) FILTER (WHERE r.reason_type = 'Promotion' AND p.sales_order_id IS NULL) AS "SAL-104"
FROM candidate.sales_order_header_sales_reason AS b
LEFT JOIN candidate.sales_order_header AS o ON o.sales_order_id = b.sales_order_id
LEFT JOIN validated.sales_reason AS r ON r.sales_reason_id = b.sales_reason_id
LEFT JOIN promoted AS p ON p.sales_order_id = b.sales_order_id
