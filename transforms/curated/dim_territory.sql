-- One row per sales territory with its country and region of the world.
-- Read by every sales report that splits by geography; joins on territory_id.
SELECT
    CAST(territory.territory_id AS integer) AS territory_id,
    CAST(territory.name AS varchar) AS territory_name,
    CAST(territory.country_region_code AS varchar) AS country_region_code,
    CAST(country.name AS varchar) AS country_name,
    CAST(territory."group" AS varchar) AS territory_group
FROM validated.sales_territory AS territory
LEFT JOIN validated.country_region AS country
    ON country.country_region_code = territory.country_region_code
