-- Duplicates of sales_order_detail, which need a grouping of their own. PostgreSQL's dialect.
SELECT
  (SELECT COUNT(*) FROM (SELECT 1 FROM candidate.sales_order_detail
    GROUP BY sales_order_id, sales_order_detail_id HAVING COUNT(*) > 1) AS k) AS "SAL-078",
  (SELECT COALESCE(SUM(n), 0) FROM (SELECT COUNT(*) AS n FROM candidate.sales_order_detail
    GROUP BY sales_order_id, product_id, special_offer_id HAVING COUNT(*) > 1) AS t) AS "SAL-095"
