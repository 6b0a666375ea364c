-- The same 24 features by hand, joins tuned to DuckDB. Wanted beforehand: variables `events` and `requests`, the folders; written: the view `training`.
-- A request at t sees [b - W, b), b = floor((t - 62 s) / 5 min) * 5 min: what is known two seconds after a source that may be a minute late.
-- Each distinct (key, b) that is asked meets the events of its key in hash joins by hours (half days for aircraft), so that no key's year
-- meets its own year; then one aggregation per view.
CREATE TEMP TABLE departures AS
SELECT DISTINCT ON (flight_id, event_time) epoch_ms(event_time) AS ms, ms // 3600000 AS hour, carrier, origin, dep_delay
FROM read_parquet(getvariable('events') || '/departures/*.parquet');

CREATE TEMP TABLE arrivals AS
SELECT DISTINCT ON (flight_id, event_time) epoch_ms(event_time) AS ms, ms // 3600000 AS hour, flight_id, tailnum, dest, arr_delay
FROM read_parquet(getvariable('events') || '/arrivals/*.parquet');

CREATE TEMP TABLE requests AS
SELECT *, (epoch_ms(event_time) - 62000) // 300000 * 300000 AS b
FROM read_parquet(getvariable('requests') || '/*.parquet');

CREATE TEMP TABLE by_origin AS
WITH asked AS (SELECT DISTINCT origin, b FROM requests),
hours AS (SELECT *, unnest(range((b - 10800000) // 3600000, (b - 1) // 3600000 + 1)) AS hour FROM asked)
SELECT origin, b,
  count(*) FILTER (ms >= b - 3600000) AS origin_departures_1h,
  count(*) FILTER (ms >= b - 3600000 AND dep_delay > 15) AS origin_late_1h,
  avg(dep_delay) FILTER (ms >= b - 3600000) AS origin_dep_delay_mean_1h,
  avg(dep_delay) AS origin_dep_delay_mean_3h,
  stddev_samp(dep_delay) AS origin_dep_delay_std_3h,
  max(dep_delay) AS origin_dep_delay_max_3h
FROM hours JOIN departures USING (origin, hour)
WHERE ms >= b - 10800000 AND ms < b
GROUP BY origin, b;

CREATE TEMP TABLE by_carrier AS
WITH asked AS (SELECT DISTINCT carrier, origin, b FROM requests),
hours AS (SELECT *, unnest(range((b - 10800000) // 3600000, (b - 1) // 3600000 + 1)) AS hour FROM asked)
SELECT carrier, origin, b,
  count(*) FILTER (ms >= b - 3600000) AS carrier_departures_1h,
  count(*) AS carrier_departures_3h,
  count(*) FILTER (dep_delay > 15) AS carrier_late_3h,
  avg(dep_delay) FILTER (ms >= b - 3600000) AS carrier_dep_delay_mean_1h,
  avg(dep_delay) AS carrier_dep_delay_mean_3h,
  max(dep_delay) AS carrier_dep_delay_max_3h
FROM hours JOIN departures USING (carrier, origin, hour)
WHERE ms >= b - 10800000 AND ms < b
GROUP BY carrier, origin, b;

CREATE TEMP TABLE by_destination AS
WITH asked AS (SELECT DISTINCT dest, b FROM requests),
hours AS (SELECT *, unnest(range((b - 10800000) // 3600000, (b - 1) // 3600000 + 1)) AS hour FROM asked)
SELECT dest, b,
  count(*) AS dest_arrivals_3h,
  count(*) FILTER (arr_delay > 15) AS dest_late_3h,
  avg(arr_delay) FILTER (ms >= b - 3600000) AS dest_arr_delay_mean_1h,
  avg(arr_delay) AS dest_arr_delay_mean_3h,
  max(arr_delay) AS dest_arr_delay_max_3h,
  min(arr_delay) AS dest_arr_delay_min_3h
FROM hours JOIN arrivals USING (dest, hour)
WHERE ms >= b - 10800000 AND ms < b
GROUP BY dest, b;

CREATE TEMP TABLE by_aircraft AS
WITH asked AS (SELECT DISTINCT tailnum, b FROM requests),
halves AS (SELECT *, unnest(range((b - 43200000) // 43200000, (b - 1) // 43200000 + 1)) AS half FROM asked)
SELECT tailnum, b,
  count(*) FILTER (ms >= b - 10800000) AS aircraft_arrivals_3h,
  count(*) AS aircraft_arrivals_12h,
  max({'ms': ms, 'arr_delay': arr_delay}).arr_delay AS aircraft_last_arr_delay_12h,
  avg(arr_delay) AS aircraft_arr_delay_mean_12h,
  min(arr_delay) AS aircraft_arr_delay_min_12h,
  max(arr_delay) AS aircraft_arr_delay_max_12h
FROM halves JOIN (SELECT *, ms // 43200000 AS half FROM arrivals) USING (tailnum, half)
WHERE ms >= b - 43200000 AND ms < b
GROUP BY tailnum, b;

CREATE TEMP VIEW training AS
SELECT requests.* EXCLUDE (b),
  coalesce(origin_departures_1h, 0) AS origin_departures_1h,
  coalesce(origin_late_1h, 0) AS origin_late_1h,
  origin_dep_delay_mean_1h, origin_dep_delay_mean_3h, origin_dep_delay_std_3h, origin_dep_delay_max_3h,
  coalesce(carrier_departures_1h, 0) AS carrier_departures_1h,
  coalesce(carrier_departures_3h, 0) AS carrier_departures_3h,
  coalesce(carrier_late_3h, 0) AS carrier_late_3h,
  carrier_dep_delay_mean_1h, carrier_dep_delay_mean_3h, carrier_dep_delay_max_3h,
  coalesce(dest_arrivals_3h, 0) AS dest_arrivals_3h,
  coalesce(dest_late_3h, 0) AS dest_late_3h,
  dest_arr_delay_mean_1h, dest_arr_delay_mean_3h, dest_arr_delay_max_3h, dest_arr_delay_min_3h,
  coalesce(aircraft_arrivals_3h, 0) AS aircraft_arrivals_3h,
  coalesce(aircraft_arrivals_12h, 0) AS aircraft_arrivals_12h,
  aircraft_last_arr_delay_12h, aircraft_arr_delay_mean_12h, aircraft_arr_delay_min_12h, aircraft_arr_delay_max_12h,
  happened.arr_delay > 15 AS label
FROM requests
LEFT JOIN by_origin USING (origin, b)
LEFT JOIN by_carrier USING (carrier, origin, b)
LEFT JOIN by_destination USING (dest, b)
LEFT JOIN by_aircraft USING (tailnum, b)
LEFT JOIN (SELECT flight_id, arg_max(arr_delay, ms) AS arr_delay FROM arrivals GROUP BY flight_id) AS happened USING (flight_id);
