"""The tables that hardly change: territories, countries, states, currencies, categories, reasons, ways to ship."""

import numpy as np
import pyarrow as pa

from dataops.sources.arrow import Array
from dataops.sources.generator.columns import Ints, below, decimals, flags, guids, moments, money, picked, whole
from dataops.sources.generator.lists import column, lists
from dataops.sources.generator.shape import START, Shape

_EPOCH = START - 1_127

Columns = dict[str, Array]


def _dated(index: Ints) -> Columns:
    return {"modified_date": moments(np.full(len(index), _EPOCH))}


def _ids(name: str, index: Ints, kind: pa.DataType) -> Columns:
    return {name: whole(index + 1, kind)} | _dated(index)


def territory_columns(shape: Shape, index: Ints) -> Columns:
    """Sales.SalesTerritory."""
    sold = (below(8_000_000, shape.seed, "territory.ytd", index) + 2_000_000) * 10_000
    nothing = money(np.zeros(len(index), np.int64))
    return _ids("territory_id", index, pa.int32()) | {
        "name": picked(column("territories", 0), index),
        "country_region_code": picked(column("territories", 1), index),
        "group": picked(column("territories", 2), index),
        "sales_ytd": money(sold),
        "sales_last_year": money(sold // 2),
        "cost_ytd": nothing,
        "cost_last_year": nothing,
        "rowguid": guids(shape.seed, "territory", index),
    }


def country_columns(shape: Shape, index: Ints) -> Columns:  # noqa: ARG001 - the same signature for all tables
    """Person.CountryRegion."""
    names = {
        "country_region_code": picked(column("countries", 0), index),
        "name": picked(column("countries", 1), index),
    }
    return names | _dated(index)


def state_columns(shape: Shape, index: Ints) -> Columns:
    """Person.StateProvince."""
    countries = column("states", 1)
    return _ids("state_province_id", index, pa.int32()) | {
        "state_province_code": picked(column("states", 0), index),
        "country_region_code": picked(countries, index),
        "is_only_state_province_flag": flags(np.array([countries.count(land) == 1 for land in countries])[index]),
        "name": picked(column("states", 2), index),
        "territory_id": whole(np.array(column("states", 3))[index], pa.int32()),
        "rowguid": guids(shape.seed, "state", index),
    }


def currency_columns(shape: Shape, index: Ints) -> Columns:  # noqa: ARG001
    """Sales.Currency."""
    names = {"currency_code": picked(column("currencies", 0), index), "name": picked(column("currencies", 1), index)}
    return names | _dated(index)


def category_columns(shape: Shape, index: Ints) -> Columns:
    """Production.ProductCategory."""
    return _ids("product_category_id", index, pa.int32()) | {
        "name": picked(lists()["categories"], index),
        "rowguid": guids(shape.seed, "category", index),
    }


def subcategory_columns(shape: Shape, index: Ints) -> Columns:
    """Production.ProductSubcategory."""
    return _ids("product_subcategory_id", index, pa.int32()) | {
        "product_category_id": whole(np.array(column("subcategories", 0))[index], pa.int32()),
        "name": picked(column("subcategories", 1), index),
        "rowguid": guids(shape.seed, "subcategory", index),
    }


def reason_columns(shape: Shape, index: Ints) -> Columns:  # noqa: ARG001
    """Sales.SalesReason."""
    return _ids("sales_reason_id", index, pa.int32()) | {
        "name": picked(column("reasons", 0), index),
        "reason_type": picked(column("reasons", 1), index),
    }


def ship_method_columns(shape: Shape, index: Ints) -> Columns:
    """Purchasing.ShipMethod."""
    return _ids("ship_method_id", index, pa.int32()) | {
        "name": picked(column("ship_methods", 0), index),
        "ship_base": money(np.array(column("ship_methods", 1))[index]),
        "ship_rate": money(np.array(column("ship_methods", 2))[index]),
        "rowguid": guids(shape.seed, "ship_method", index),
    }


def location_columns(shape: Shape, index: Ints) -> Columns:  # noqa: ARG001
    """Production.Location."""
    return _dated(index) | {
        "location_id": whole(np.array(column("locations", 0))[index], pa.int16()),
        "name": picked(column("locations", 1), index),
        "cost_rate": decimals(np.array(column("locations", 2))[index], 10, 4),
        "availability": decimals(np.array(column("locations", 3))[index], 8, 2),
    }
