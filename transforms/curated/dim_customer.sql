-- One row per customer, individuals and stores told apart; no name of a person, only the surrogate person_id.
-- Read by customer reports, lifetime value (individuals only) and campaign analysis; joins on customer_id.
WITH first_orders AS (
    SELECT customer_id, MIN(order_date) AS first_order_date
    FROM validated.sales_order_header
    GROUP BY customer_id
)
SELECT
    CAST(customer.customer_id AS integer) AS customer_id,
    -- A person who orders for a store is the store's contact, not a consumer.
    CAST(CASE
        WHEN customer.store_id IS NOT NULL THEN 'store'
        WHEN customer.person_id IS NOT NULL THEN 'individual'
    END AS varchar) AS customer_type,
    CAST(customer.person_id AS integer) AS person_id,
    CAST(customer.store_id AS integer) AS store_id,
    -- Some store names end in a blank, which would split them in reports.
    CAST(TRIM(store.name) AS varchar) AS store_name,
    CAST(customer.store_id IS NOT NULL AND customer.person_id IS NOT NULL AS boolean) AS has_contact_person,
    CAST(customer.territory_id AS integer) AS territory_id,
    CAST(territory.name AS varchar) AS territory_name,
    CAST(territory.country_region_code AS varchar) AS country_region_code,
    CAST(territory."group" AS varchar) AS territory_group,
    CAST(first_orders.first_order_date AS date) AS first_order_date
FROM validated.customer AS customer
LEFT JOIN validated.store AS store
    ON store.business_entity_id = customer.store_id
LEFT JOIN validated.sales_territory AS territory
    ON territory.territory_id = customer.territory_id
LEFT JOIN first_orders
    ON first_orders.customer_id = customer.customer_id
