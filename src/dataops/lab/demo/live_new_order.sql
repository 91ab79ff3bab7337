-- A new order like another one: the same lines on the same day, under numbers of its own.
CREATE TEMP TABLE new_order ON COMMIT DROP AS SELECT * FROM sales.sales_order_header WHERE sales_order_id = %(like)s;
UPDATE new_order SET sales_order_id = %(order)s, sales_order_number = 'SO' || %(order)s, rowguid = gen_random_uuid(),
  modified_date = localtimestamp;
CREATE TEMP TABLE new_lines ON COMMIT DROP AS SELECT * FROM sales.sales_order_detail WHERE sales_order_id = %(like)s;
UPDATE new_lines SET sales_order_id = %(order)s, sales_order_detail_id = sales_order_detail_id + %(shift)s,
  rowguid = gen_random_uuid(), modified_date = localtimestamp;
CREATE TEMP TABLE new_reasons ON COMMIT DROP AS
  SELECT * FROM sales.sales_order_header_sales_reason WHERE sales_order_id = %(like)s;
UPDATE new_reasons SET sales_order_id = %(order)s, modified_date = localtimestamp;
INSERT INTO sales.sales_order_header SELECT * FROM new_order;
INSERT INTO sales.sales_order_detail SELECT * FROM new_lines;
INSERT INTO sales.sales_order_header_sales_reason SELECT * FROM new_reasons;
