-- One row per product, bought or sold: what it is, when it was on sale, what it costs and lists at today.
-- Read by product reports, margin analysis and stock monitoring; joins to facts on product_id.
WITH sold AS (
    SELECT DISTINCT product_id FROM validated.sales_order_detail
)
SELECT
    CAST(product.product_id AS integer) AS product_id,
    CAST(product.product_number AS varchar) AS product_number,
    CAST(product.name AS varchar) AS product_name,
    CAST(subcategory.product_subcategory_id AS integer) AS product_subcategory_id,
    CAST(subcategory.name AS varchar) AS subcategory_name,
    CAST(category.product_category_id AS integer) AS product_category_id,
    CAST(category.name AS varchar) AS category_name,
    CAST(model.product_model_id AS integer) AS product_model_id,
    CAST(model.name AS varchar) AS model_name,
    -- The source pads its nchar codes with blanks.
    CAST(TRIM(product.product_line) AS varchar) AS product_line,
    CAST(TRIM(product.class) AS varchar) AS class,
    CAST(TRIM(product.style) AS varchar) AS style,
    CAST(product.color AS varchar) AS color,
    CAST(product.sell_start_date AS date) AS sell_start_date,
    CAST(product.sell_end_date AS date) AS sell_end_date,
    CAST(product.discontinued_date AS date) AS discontinued_date,
    CAST(product.list_price AS numeric(19, 4)) AS list_price,
    CAST(product.standard_cost AS numeric(19, 4)) AS standard_cost,
    CAST(product.safety_stock_level AS integer) AS safety_stock_level,
    CAST(product.reorder_point AS integer) AS reorder_point,
    CAST(product.make_flag AS boolean) AS is_made_in_house,
    CAST(product.finished_goods_flag AS boolean) AS is_finished_good,
    CAST(sold.product_id IS NOT NULL AS boolean) AS is_sold,
    CAST(subcategory.product_subcategory_id IS NOT NULL AS boolean) AS has_subcategory,
    -- The source leaves discontinued_date empty; a product with an end of sale can no longer be ordered.
    CAST(product.sell_end_date IS NOT NULL OR product.discontinued_date IS NOT NULL AS boolean) AS is_discontinued
FROM validated.product AS product
LEFT JOIN validated.product_subcategory AS subcategory
    ON subcategory.product_subcategory_id = product.product_subcategory_id
LEFT JOIN validated.product_category AS category
    ON category.product_category_id = subcategory.product_category_id
LEFT JOIN validated.product_model AS model
    ON model.product_model_id = product.product_model_id
LEFT JOIN sold
    ON sold.product_id = product.product_id
