-- The same 24 features by hand, as SQL's window frames say it. Wanted beforehand: variables `events` and `requests`, the folders; written: the
-- view `training`. A request at t sees [b - W, b), b = floor((t - 62 s) / 5 min) * 5 min: what is known two seconds after a source that may be a
-- minute late. Each view's events and the distinct (key, b) that are asked lie on one line of time per key; one pass of frames answers all.
CREATE TEMP TABLE departures AS
SELECT DISTINCT ON (flight_id, event_time) epoch_ms(event_time) AS ms, carrier, origin, dep_delay
FROM read_parquet(getvariable('events') || '/departures/*.parquet');

CREATE TEMP TABLE arrivals AS
SELECT DISTINCT ON (flight_id, event_time) epoch_ms(event_time) AS ms, flight_id, tailnum, dest, arr_delay
FROM read_parquet(getvariable('events') || '/arrivals/*.parquet');

CREATE TEMP TABLE requests AS
SELECT *, (epoch_ms(event_time) - 62000) // 300000 * 300000 AS b
FROM read_parquet(getvariable('requests') || '/*.parquet');

CREATE TEMP TABLE by_origin AS
WITH line AS (
  SELECT origin, ms, dep_delay FROM departures
  UNION ALL SELECT DISTINCT origin, b, NULL FROM requests
)
SELECT origin, ms AS b,
  count(dep_delay) OVER h1 AS origin_departures_1h,
  count(dep_delay) FILTER (dep_delay > 15) OVER h1 AS origin_late_1h,
  avg(dep_delay) OVER h1 AS origin_dep_delay_mean_1h,
  avg(dep_delay) OVER h3 AS origin_dep_delay_mean_3h,
  stddev_samp(dep_delay) OVER h3 AS origin_dep_delay_std_3h,
  max(dep_delay) OVER h3 AS origin_dep_delay_max_3h
FROM line
WINDOW
  h1 AS (PARTITION BY origin ORDER BY ms RANGE BETWEEN 3600000 PRECEDING AND 1 PRECEDING),
  h3 AS (PARTITION BY origin ORDER BY ms RANGE BETWEEN 10800000 PRECEDING AND 1 PRECEDING)
QUALIFY dep_delay IS NULL;

CREATE TEMP TABLE by_carrier AS
WITH line AS (
  SELECT carrier, origin, ms, dep_delay FROM departures
  UNION ALL SELECT DISTINCT carrier, origin, b, NULL FROM requests
)
SELECT carrier, origin, ms AS b,
  count(dep_delay) OVER h1 AS carrier_departures_1h,
  count(dep_delay) OVER h3 AS carrier_departures_3h,
  count(dep_delay) FILTER (dep_delay > 15) OVER h3 AS carrier_late_3h,
  avg(dep_delay) OVER h1 AS carrier_dep_delay_mean_1h,
  avg(dep_delay) OVER h3 AS carrier_dep_delay_mean_3h,
  max(dep_delay) OVER h3 AS carrier_dep_delay_max_3h
FROM line
WINDOW
  h1 AS (PARTITION BY carrier, origin ORDER BY ms RANGE BETWEEN 3600000 PRECEDING AND 1 PRECEDING),
  h3 AS (PARTITION BY carrier, origin ORDER BY ms RANGE BETWEEN 10800000 PRECEDING AND 1 PRECEDING)
QUALIFY dep_delay IS NULL;

CREATE TEMP TABLE by_destination AS
WITH line AS (
  SELECT dest, ms, arr_delay FROM arrivals
  UNION ALL SELECT DISTINCT dest, b, NULL FROM requests
)
SELECT dest, ms AS b,
  count(arr_delay) OVER h3 AS dest_arrivals_3h,
  count(arr_delay) FILTER (arr_delay > 15) OVER h3 AS dest_late_3h,
  avg(arr_delay) OVER h1 AS dest_arr_delay_mean_1h,
  avg(arr_delay) OVER h3 AS dest_arr_delay_mean_3h,
  max(arr_delay) OVER h3 AS dest_arr_delay_max_3h,
  min(arr_delay) OVER h3 AS dest_arr_delay_min_3h
FROM line
WINDOW
  h1 AS (PARTITION BY dest ORDER BY ms RANGE BETWEEN 3600000 PRECEDING AND 1 PRECEDING),
  h3 AS (PARTITION BY dest ORDER BY ms RANGE BETWEEN 10800000 PRECEDING AND 1 PRECEDING)
QUALIFY arr_delay IS NULL;

CREATE TEMP TABLE by_aircraft AS
WITH line AS (
  SELECT tailnum, ms, arr_delay FROM arrivals
  UNION ALL SELECT DISTINCT tailnum, b, NULL FROM requests
)
SELECT tailnum, ms AS b,
  count(arr_delay) OVER h3 AS aircraft_arrivals_3h,
  count(arr_delay) OVER h12 AS aircraft_arrivals_12h,
  max(CASE WHEN arr_delay IS NOT NULL THEN {'ms': ms, 'arr_delay': arr_delay} END) OVER h12 AS newest,
  avg(arr_delay) OVER h12 AS aircraft_arr_delay_mean_12h,
  min(arr_delay) OVER h12 AS aircraft_arr_delay_min_12h,
  max(arr_delay) OVER h12 AS aircraft_arr_delay_max_12h
FROM line
WINDOW
  h3 AS (PARTITION BY tailnum ORDER BY ms RANGE BETWEEN 10800000 PRECEDING AND 1 PRECEDING),
  h12 AS (PARTITION BY tailnum ORDER BY ms RANGE BETWEEN 43200000 PRECEDING AND 1 PRECEDING)
QUALIFY arr_delay IS NULL;

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
  newest.arr_delay AS aircraft_last_arr_delay_12h, aircraft_arr_delay_mean_12h, aircraft_arr_delay_min_12h, aircraft_arr_delay_max_12h,
  happened.arr_delay > 15 AS label
FROM requests
LEFT JOIN by_origin USING (origin, b)
LEFT JOIN by_carrier USING (carrier, origin, b)
LEFT JOIN by_destination USING (dest, b)
LEFT JOIN by_aircraft USING (tailnum, b)
LEFT JOIN (SELECT flight_id, arg_max(arr_delay, ms) AS arr_delay FROM arrivals GROUP BY flight_id) AS happened USING (flight_id);
