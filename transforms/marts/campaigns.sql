-- One row per campaign: a special offer with a discount, or a marketing or promotion reason that buyers give; with what
-- was sold under it, and which part of all revenue of its months that was. Read by campaign reports and effects.
WITH declared AS (
    SELECT
        'offer' AS kind,
        special_offer_id AS number,
        description AS title,
        offer_type AS campaign_type,
        category AS audience,
        start_date,
        end_date,
        is_quantity_rule,
        offer_type = 'Discontinued Product' AS is_clearance,
        discount_pct
    FROM curated.dim_promotion
    WHERE NOT is_no_discount
    UNION ALL
    SELECT
        'reason' AS kind,
        sales_reason_id AS number,
        reason_name AS title,
        reason_type AS campaign_type,
        CAST(NULL AS varchar) AS audience,
        CAST(NULL AS date) AS start_date,
        CAST(NULL AS date) AS end_date,
        FALSE AS is_quantity_rule,
        FALSE AS is_clearance,
        CAST(NULL AS numeric(10, 4)) AS discount_pct
    FROM curated.dim_sales_reason
    WHERE reason_type IN ('Marketing', 'Promotion')
),
months AS (
    SELECT month_start, SUM(revenue) AS revenue FROM curated.fct_sales GROUP BY month_start
),
totals AS (
    SELECT
        uptake.campaign,
        MIN(uptake.month_start) AS first_month,
        MAX(uptake.month_start) AS last_month,
        SUM(uptake.orders) AS orders,
        SUM(uptake.units) AS units,
        SUM(uptake.discount) AS discount,
        SUM(uptake.revenue) AS revenue,
        SUM(uptake.gross_profit) AS gross_profit,
        SUM(months.revenue) AS whole_revenue
    FROM marts.campaign_uptake AS uptake
    JOIN months
        ON months.month_start = uptake.month_start
    GROUP BY uptake.campaign
)
SELECT
    CAST(declared.kind || ' ' || CAST(declared.number AS varchar) AS varchar) AS campaign,
    CAST(declared.kind AS varchar) AS kind,
    CAST(declared.number AS integer) AS number,
    CAST(declared.title AS varchar) AS title,
    CAST(declared.campaign_type AS varchar) AS campaign_type,
    CAST(declared.audience AS varchar) AS audience,
    CAST(declared.start_date AS date) AS start_date,
    CAST(declared.end_date AS date) AS end_date,
    CAST(declared.is_quantity_rule AS boolean) AS is_quantity_rule,
    CAST(declared.is_clearance AS boolean) AS is_clearance,
    CAST(declared.discount_pct AS numeric(10, 4)) AS discount_pct,
    CAST(totals.first_month AS date) AS first_month,
    CAST(totals.last_month AS date) AS last_month,
    CAST(COALESCE(totals.orders, 0) AS bigint) AS orders,
    CAST(COALESCE(totals.units, 0) AS numeric(38, 6)) AS units,
    CAST(COALESCE(totals.discount, 0) AS numeric(38, 6)) AS discount,
    CAST(COALESCE(totals.revenue, 0) AS numeric(38, 6)) AS revenue,
    CAST(COALESCE(totals.gross_profit, 0) AS numeric(38, 6)) AS gross_profit,
    CAST(ROUND(totals.gross_profit / NULLIF(totals.revenue, 0), 6) AS numeric(38, 6)) AS margin,
    CAST(ROUND(totals.revenue / NULLIF(totals.whole_revenue, 0), 6) AS numeric(38, 6)) AS share_of_revenue
FROM declared
LEFT JOIN totals
    ON totals.campaign = declared.kind || ' ' || CAST(declared.number AS varchar)
