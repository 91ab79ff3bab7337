-- Twice as many of each line; the order's sums follow.
UPDATE sales.sales_order_detail SET order_qty = 2 * order_qty, line_total = 2 * line_total, modified_date = localtimestamp
  WHERE sales_order_id = %(order)s;
UPDATE sales.sales_order_header SET sub_total = 2 * sub_total, total_due = total_due + sub_total,
  revision_number = revision_number + 1, modified_date = localtimestamp WHERE sales_order_id = %(order)s;
