"""Persons, addresses, customers, stores and sales people: who buys, who sells and where they live.

Index spaces: persons are sales people, then store contacts, then individuals; addresses are stores', then
individuals'; customers are stores, then contacts, then individuals. The functions here keep them consistent.
"""

import numpy as np
import pyarrow as pa

from dataops.sources.arrow import Array, pc
from dataops.sources.generator.columns import (
    Ints,
    below,
    decimals,
    fixed,
    flags,
    guids,
    hexadecimal,
    hidden,
    joined,
    moments,
    money,
    padded,
    picked,
    whole,
)
from dataops.sources.generator.lists import column, lists
from dataops.sources.generator.shape import START, Shape

FIRST_SALES_PERSON = 274
SELLERS = 17
_FIRST_STORE = 2_001
_HOME, _MAIN_OFFICE = 2, 3
_SURVEY = "http://schemas.microsoft.com/sqlserver/2004/07/adventure-works"

Columns = dict[str, Array]


def persons(shape: Shape) -> int:
    """How many persons there are."""
    return SELLERS + shape.contacts + shape.individuals


def addresses(shape: Shape) -> int:
    """How many addresses there are."""
    return shape.stores + shape.individuals


def customers(shape: Shape) -> int:
    """How many customers there are."""
    return shape.stores + shape.contacts + shape.individuals


def customer_address(shape: Shape, customer: Ints) -> Ints:
    """Address index of a customer: the store's, also for its contact, or the individual's home."""
    beyond = customer - shape.stores
    return np.where(
        beyond < 0, customer, np.where(beyond < shape.contacts, beyond, beyond - shape.contacts + shape.stores)
    )


def territory_of(shape: Shape, address: Ints) -> Ints:
    """Territory id of an address, through its state."""
    return np.array(column("states", 3))[_state(shape, address)]


def _state(shape: Shape, address: Ints) -> Ints:
    return below(len(lists()["states"]), shape.seed, "address.state", address)


def _person_id(shape: Shape, person: Ints) -> Ints:
    return np.where(person < SELLERS, person + FIRST_SALES_PERSON, person - SELLERS + _FIRST_STORE + shape.stores)


def _joined_on(shape: Shape, stream: str, index: Ints) -> Ints:
    """A day within the first year or the year before it."""
    return START + below(730, shape.seed, stream, index) - 365


def person_columns(shape: Shape, person: Ints) -> Columns:
    """Person.Person."""
    kind = np.where(person < SELLERS, 0, np.where(person < SELLERS + shape.contacts, 1, 2))
    seed, names = shape.seed, lists()
    spent = below(9_000, seed, "person.spent", person)
    open_tag = f'<IndividualSurvey xmlns="{_SURVEY}/IndividualSurvey"><TotalPurchaseYTD>'
    return {
        "business_entity_id": whole(_person_id(shape, person), pa.int32()),
        "person_type": picked(["SP", "SC", "IN"], kind),
        "name_style": flags(np.zeros(len(person), bool)),
        "title": hidden(person % 20 != 0, picked(["Mr.", "Ms."], person // 20)),
        "first_name": picked(names["first_names"], below(1 << 20, seed, "person.first", person)),
        "middle_name": hidden(person % 3 == 0, picked(["A", "J", "L", "M", "R"], person)),
        "last_name": picked(names["last_names"], below(1 << 20, seed, "person.last", person)),
        "email_promotion": whole(person % 3, pa.int32()),
        "demographics": joined(open_tag, whole(spent, pa.int32()), "</TotalPurchaseYTD></IndividualSurvey>"),
        "rowguid": guids(seed, "person", person),
        "modified_date": moments(_joined_on(shape, "person.since", person)),
    }


def email_columns(shape: Shape, person: Ints) -> Columns:
    """Person.EmailAddress: one per person."""
    number = whole(person + 1, pa.int32())
    first = pc.utf8_lower(person_columns(shape, person)["first_name"])
    return {
        "business_entity_id": whole(_person_id(shape, person), pa.int32()),
        "email_address_id": number,
        "email_address": joined(first, number, "@adventure-works.com"),
        "rowguid": guids(shape.seed, "email", person),
        "modified_date": moments(_joined_on(shape, "person.since", person)),
    }


def address_columns(shape: Shape, address: Ints) -> Columns:
    """Person.Address; state, city and post code belong together."""
    state, names = _state(shape, address), lists()
    house = whole(below(9_000, shape.seed, "address.house", address) + 1, pa.int32())
    place = np.hstack([_prefix(len(address)), hexadecimal(shape.seed, "address.place", address, 32)])
    return {
        "address_id": whole(address + 1, pa.int32()),
        "address_line1": joined(house, " ", picked(names["streets"], address), " No. ", whole(address, pa.int32())),
        "city": picked(names["cities"], state),
        "state_province_id": whole(state + 1, pa.int32()),
        "postal_code": picked(names["post_codes"], state),
        "spatial_location": fixed(place),
        "rowguid": guids(shape.seed, "address", address),
        "modified_date": moments(_joined_on(shape, "address.since", address)),
    }


def _prefix(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.broadcast_to(np.frombuffer(b"E6100000010C", np.uint8), (count, 12))


def residence_columns(shape: Shape, address: Ints) -> Columns:
    """Person.BusinessEntityAddress: a main office for each store, a home for each individual."""
    store = address < shape.stores
    individual = address - shape.stores + SELLERS + shape.contacts
    entity = np.where(store, address + _FIRST_STORE, _person_id(shape, individual))
    return {
        "business_entity_id": whole(entity, pa.int32()),
        "address_id": whole(address + 1, pa.int32()),
        "address_type_id": whole(np.where(store, _MAIN_OFFICE, _HOME), pa.int32()),
        "rowguid": guids(shape.seed, "residence", address),
        "modified_date": moments(_joined_on(shape, "address.since", address)),
    }


def customer_columns(shape: Shape, customer: Ints) -> Columns:
    """Sales.Customer."""
    beyond = customer - shape.stores
    store = np.where(beyond < 0, customer, beyond) + _FIRST_STORE
    person = _person_id(shape, beyond + SELLERS)
    return {
        "customer_id": whole(customer + 1, pa.int32()),
        "person_id": hidden(beyond < 0, whole(person, pa.int32())),
        "store_id": hidden(beyond >= shape.contacts, whole(store, pa.int32())),
        "territory_id": whole(territory_of(shape, customer_address(shape, customer)), pa.int32()),
        "account_number": padded("AW", customer + 1, 8),
        "rowguid": guids(shape.seed, "customer", customer),
        "modified_date": moments(np.full(len(customer), START + shape.days)),
    }


def store_columns(shape: Shape, store: Ints) -> Columns:
    """Sales.Store."""
    words, kinds = lists()["shop_words"], lists()["shop_kinds"]
    sales = whole((store % 20 + 1) * 150_000, pa.int32())
    open_tag = f'<StoreSurvey xmlns="{_SURVEY}/StoreSurvey"><AnnualSales>'
    name = joined(picked(words, store), " ", picked(kinds, store // len(words)), " ", whole(store + 1, pa.int32()))
    return {
        "business_entity_id": whole(store + _FIRST_STORE, pa.int32()),
        "name": name,
        "sales_person_id": whole(store % SELLERS + FIRST_SALES_PERSON, pa.int32()),
        "demographics": joined(open_tag, sales, "</AnnualSales></StoreSurvey>"),
        "rowguid": guids(shape.seed, "store", store),
        "modified_date": moments(np.full(len(store), START + shape.days)),
    }


def seller_columns(shape: Shape, seller: Ints) -> Columns:
    """Sales.SalesPerson; the first leads the others and has neither territory nor quota."""
    leads, count = seller == 0, len(seller)
    year = below(4_000_000, shape.seed, "seller.ytd", seller) * 10_000
    return {
        "business_entity_id": whole(seller + FIRST_SALES_PERSON, pa.int32()),
        "territory_id": hidden(leads, whole(seller % len(lists()["territories"]) + 1, pa.int32())),
        "sales_quota": hidden(leads, money(np.full(count, 250_000 * 10_000))),
        "bonus": money(seller * 100 * 10_000),
        "commission_pct": decimals(seller % 3 * 50 + 100, 10, 4),
        "sales_ytd": money(year + 10_000),
        "sales_last_year": money(year // 2),
        "rowguid": guids(shape.seed, "seller", seller),
        "modified_date": moments(np.full(count, START - 7)),
    }
