-- Rules of sales_order_header, one column per rule, the count of failing rows. PostgreSQL's dialect.
WITH lines AS (
  SELECT sales_order_id, SUM(line_total) AS line_total FROM candidate.sales_order_detail GROUP BY sales_order_id
), reasons AS (
  SELECT DISTINCT sales_order_id FROM candidate.sales_order_header_sales_reason
), places AS (
  SELECT DISTINCT address_id, business_entity_id FROM validated.business_entity_address
), rates AS (
  SELECT currency_rate_id, currency_rate_date FROM candidate.currency_rate
)
SELECT
  COUNT(*) FILTER (WHERE b._problems IS NOT NULL) AS "SRC-000:sales_order_header",
  COUNT(*) FILTER (WHERE b.sales_order_id IS NULL) AS "SAL-001",
  COUNT(*) FILTER (WHERE b.revision_number IS NULL) AS "SAL-002",
  COUNT(*) FILTER (WHERE b.order_date IS NULL) AS "SAL-003",
  COUNT(*) FILTER (WHERE b.due_date IS NULL) AS "SAL-004",
  COUNT(*) FILTER (WHERE b.status IS NULL) AS "SAL-005",
  COUNT(*) FILTER (WHERE b.online_order_flag IS NULL) AS "SAL-006",
  COUNT(*) FILTER (WHERE b.sales_order_number IS NULL) AS "SAL-008",
  COUNT(*) FILTER (WHERE b.customer_id IS NULL) AS "SAL-009",
  COUNT(*) FILTER (WHERE b.bill_to_address_id IS NULL) AS "SAL-010",
  COUNT(*) FILTER (WHERE b.ship_to_address_id IS NULL) AS "SAL-011",
  COUNT(*) FILTER (WHERE b.ship_method_id IS NULL) AS "SAL-012",
  COUNT(*) FILTER (WHERE b.sub_total IS NULL) AS "SAL-013",
  COUNT(*) FILTER (WHERE b.tax_amt IS NULL) AS "SAL-014",
  COUNT(*) FILTER (WHERE b.freight IS NULL) AS "SAL-015",
  COUNT(*) FILTER (WHERE b.total_due IS NULL) AS "SAL-016",
  COUNT(*) FILTER (WHERE b.rowguid IS NULL) AS "SAL-017",
  COUNT(*) FILTER (WHERE b.modified_date IS NULL) AS "SAL-018",
  COUNT(*) FILTER (WHERE b.customer_id IS NOT NULL AND c.customer_id IS NULL) AS "SAL-019",
  COUNT(*) FILTER (WHERE b.sales_person_id IS NOT NULL AND p.business_entity_id IS NULL) AS "SAL-020",
  COUNT(*) FILTER (WHERE b.territory_id IS NOT NULL AND t.territory_id IS NULL) AS "SAL-021",
  COUNT(*) FILTER (WHERE b.bill_to_address_id IS NOT NULL AND ba.address_id IS NULL) AS "SAL-022",
  COUNT(*) FILTER (WHERE b.ship_to_address_id IS NOT NULL AND sa.address_id IS NULL) AS "SAL-023",
  COUNT(*) FILTER (WHERE b.ship_method_id IS NOT NULL AND m.ship_method_id IS NULL) AS "SAL-024",
  COUNT(*) FILTER (WHERE b.currency_rate_id IS NOT NULL AND r.currency_rate_id IS NULL) AS "SAL-025",
  COUNT(b.sales_order_id) - COUNT(DISTINCT b.sales_order_id) AS "SAL-028",
  COUNT(b.sales_order_number) - COUNT(DISTINCT b.sales_order_number) AS "SAL-029",
  COUNT(b.rowguid) - COUNT(DISTINCT b.rowguid) AS "SAL-030",
  COUNT(*) FILTER (WHERE b.status NOT IN (1, 2, 3, 4, 5, 6)) AS "SAL-031",
  COUNT(*) FILTER (WHERE b.due_date < b.order_date) AS "SAL-032",
  COUNT(*) FILTER (WHERE b.ship_date < b.order_date) AS "SAL-033",
  COUNT(*) FILTER (WHERE b.due_date < b.ship_date) AS "SAL-034",
  COUNT(*) FILTER (WHERE b.modified_date < b.order_date) AS "SAL-035",
  COUNT(*) FILTER (WHERE b.order_date < DATE '2000-01-01') AS "SAL-036",
  COUNT(*) FILTER (WHERE b.status = 5 AND b.ship_date IS NULL) AS "SAL-037",
  COUNT(*) FILTER (WHERE b.sub_total < 0) AS "SAL-038",
  COUNT(*) FILTER (WHERE b.tax_amt < 0) AS "SAL-039",
  COUNT(*) FILTER (WHERE b.freight < 0) AS "SAL-040",
  COUNT(*) FILTER (WHERE b.tax_amt > b.sub_total OR b.freight > b.sub_total) AS "SAL-041",
  COUNT(*) FILTER (WHERE ABS(b.total_due - (b.sub_total + b.tax_amt + b.freight)) > 0.0001) AS "SAL-042",
  COUNT(*) FILTER (WHERE ABS(b.sub_total - l.line_total) > 0.01) AS "SAL-043",
  COUNT(*) FILTER (WHERE l.sales_order_id IS NULL) AS "SAL-044",
  COUNT(*) FILTER (WHERE b.sales_order_number <> 'SO' || CAST(b.sales_order_id AS VARCHAR)) AS "SAL-045",
  COUNT(*) FILTER (WHERE NOT b.account_number ~ '^[0-9]{2}-[0-9]{4}-[0-9]{6}$') AS "SAL-046",
  COUNT(*) FILTER (WHERE SUBSTRING(b.account_number, 4, 4) <> CASE WHEN b.online_order_flag THEN '4030' ELSE '4020' END) AS "SAL-047",
  COUNT(*) FILTER (WHERE b.online_order_flag AND RIGHT(b.account_number, 6) <> LPAD(CAST(b.customer_id AS VARCHAR), 6, '0')) AS "SAL-048",
  COUNT(*) FILTER (WHERE NOT b.purchase_order_number ~ '^PO[0-9]+$') AS "SAL-049",
  COUNT(*) FILTER (WHERE NOT b.online_order_flag AND b.purchase_order_number IS NULL) AS "SAL-050",
  COUNT(*) FILTER (WHERE b.online_order_flag AND b.purchase_order_number IS NOT NULL) AS "SAL-051",
  COUNT(*) FILTER (WHERE b.online_order_flag = (b.sales_person_id IS NOT NULL)) AS "SAL-052",
  COUNT(*) FILTER (WHERE c.customer_id IS NOT NULL AND b.online_order_flag = (c.store_id IS NOT NULL)) AS "SAL-053",
  COUNT(*) FILTER (WHERE b.territory_id <> c.territory_id) AS "SAL-054",
  COUNT(*) FILTER (WHERE b.territory_id <> s.territory_id) AS "SAL-055",
  COUNT(*) FILTER (WHERE c.customer_id IS NOT NULL AND bx.address_id IS NULL) AS "SAL-056",
  COUNT(*) FILTER (WHERE c.customer_id IS NOT NULL AND sx.address_id IS NULL) AS "SAL-057",
  COUNT(*) FILTER (WHERE (b.credit_card_id IS NULL) <> (b.credit_card_approval_code IS NULL)) AS "SAL-058",
  COUNT(*) FILTER (WHERE b.online_order_flag AND b.credit_card_id IS NULL) AS "SAL-059",
  COUNT(*) FILTER (WHERE CAST(r.currency_rate_date AS DATE) <> CAST(b.order_date AS DATE)) AS "SAL-060",
  COUNT(*) FILTER (WHERE t.country_region_code = 'US' AND b.currency_rate_id IS NOT NULL) AS "SAL-061",
  COUNT(*) FILTER (WHERE t.country_region_code <> 'US' AND b.currency_rate_id IS NULL) AS "SAL-062",
  COUNT(*) FILTER (WHERE b.online_order_flag AND w.sales_order_id IS NULL) AS "SAL-063",
  COUNT(*) FILTER (WHERE NOT b.rowguid ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$') AS "SAL-124",
  COUNT(*) FILTER (WHERE b.sales_order_number ~ '^[=+@]|[<>]|Ã[^A-Za-z ]|â€' OR LENGTH(b.sales_order_number) > 400
    OR TRANSLATE(b.sales_order_number, CHR(8234) || CHR(8235) || CHR(8236) || CHR(8237) || CHR(8238), '') <> b.sales_order_number
    OR b.credit_card_approval_code ~ '^[=+@]|[<>]|Ã[^A-Za-z ]|â€' OR LENGTH(b.credit_card_approval_code) > 400
    OR TRANSLATE(b.credit_card_approval_code, CHR(8234) || CHR(8235) || CHR(8236) || CHR(8237) || CHR(8238), '') <> b.credit_card_approval_code
    OR b.comment ~ '^[=+@]|[<>]|Ã[^A-Za-z ]|â€' OR LENGTH(b.comment) > 400
    OR TRANSLATE(b.comment, CHR(8234) || CHR(8235) || CHR(8236) || CHR(8237) || CHR(8238), '') <> b.comment) AS "SAL-125",
  COUNT(*) FILTER (WHERE b.revision_number < 0) AS "SAL-126"
FROM candidate.sales_order_header AS b
LEFT JOIN validated.customer AS c ON c.customer_id = b.customer_id
LEFT JOIN validated.sales_person AS p ON p.business_entity_id = b.sales_person_id
LEFT JOIN validated.sales_territory AS t ON t.territory_id = b.territory_id
LEFT JOIN validated.address AS ba ON ba.address_id = b.bill_to_address_id
LEFT JOIN validated.address AS sa ON sa.address_id = b.ship_to_address_id
LEFT JOIN validated.state_province AS s ON s.state_province_id = sa.state_province_id
LEFT JOIN validated.ship_method AS m ON m.ship_method_id = b.ship_method_id
LEFT JOIN places AS bx ON bx.address_id = b.bill_to_address_id AND bx.business_entity_id = COALESCE(c.store_id, c.person_id)
LEFT JOIN places AS sx ON sx.address_id = b.ship_to_address_id AND sx.business_entity_id = COALESCE(c.store_id, c.person_id)
LEFT JOIN rates AS r ON r.currency_rate_id = b.currency_rate_id
LEFT JOIN lines AS l ON l.sales_order_id = b.sales_order_id
LEFT JOIN reasons AS w ON w.sales_order_id = b.sales_order_id
