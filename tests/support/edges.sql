-- Values at the edges of PostgreSQL's types, and names that mean more than one thing.
CREATE SCHEMA "Edge";
CREATE DOMAIN flag AS boolean;
CREATE DOMAIN amount AS numeric(19,4);
CREATE DOMAIN narrow AS amount CHECK (VALUE < 1000000000);
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE "Edge"."AllTypes" (
  id integer PRIMARY KEY, small smallint, big bigint, "IsOpen" flag, price narrow, wide numeric(38,6), any_number numeric,
  day date, moment timestamp, absolute timestamptz, code char(5), words text, short varchar(3), "RowGuid" uuid, raw bytea,
  at time, mood mood, doc jsonb, many integer[], twice integer GENERATED ALWAYS AS (2 * id) STORED, real_number real);
INSERT INTO "Edge"."AllTypes" (id, small, big, "IsOpen", price, wide, any_number, day, moment, absolute, code, words, short,
  "RowGuid", raw, at, mood, doc, many, real_number) VALUES
 (1, -32768, -9223372036854775808, true, 0.0001, 99999999999999999999999999999999.999999, 1.5, '0001-01-01',
  '0001-01-01', '2014-05-01 12:00+02', 'ab', '', 'é', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\xdeadbeef',
  '07:00', 'happy', '{"a": 1}', '{1,2}', 0.5),
 (2, 32767, 9223372036854775807, false, -1, -0.000001, 'NaN', 'infinity', '-infinity', 'infinity', NULL, 'a''"\b', NULL,
  NULL, '\x', '23:59:59.999999', NULL, NULL, NULL, NULL),
 (3, NULL, NULL, NULL, NULL, NULL, 123456789012345678901234567890123456789.5, '10000-01-01', '0044-03-15 BC',
  '9999-12-31 23:59:59.999999+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE VIEW "Edge".a_view AS SELECT id, words FROM "Edge"."AllTypes";
CREATE TABLE "Edge".parted (id integer, part integer) PARTITION BY LIST (part);
CREATE TABLE "Edge".parted_1 PARTITION OF "Edge".parted FOR VALUES IN (1);
INSERT INTO "Edge".parted VALUES (1, 1), (2, 1);
CREATE SCHEMA edge;
CREATE TABLE edge.a_view (id integer);
CREATE TABLE edge."it's ""quoted""" (id integer, "a ""b" integer);
INSERT INTO edge."it's ""quoted""" VALUES (1, 2);
