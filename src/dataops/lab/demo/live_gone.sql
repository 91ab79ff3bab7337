-- An order that was never meant: it disappears without a trace.
DELETE FROM sales.sales_order_header_sales_reason WHERE sales_order_id = %(order)s;
DELETE FROM sales.sales_order_detail WHERE sales_order_id = %(order)s;
DELETE FROM sales.sales_order_header WHERE sales_order_id = %(order)s;
