-- events_departures_300000
WITH `on_time` AS (
  SELECT `flight_id`, `event_time`, `carrier`, `flight`, `tailnum`, `origin`, `dest`, `distance`, `sched_dep`, `dep_delay`, `_time_ms`, `_time` FROM `checked_departures` WHERE `_kind` = 0 AND NOT COALESCE((`_time_ms` - MOD(MOD(`_time_ms`, 300000) + 300000, 300000)) + 299999 <= `_watermark_ms`, FALSE)
)
SELECT `flight_id`, `event_time`, `carrier`, `flight`, `tailnum`, `origin`, `dest`, `distance`, `sched_dep`, `dep_delay`, `_time_ms`, `window_time` AS `_time`
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY `window_start`, `window_end`, `flight_id`, `_time_ms`
      ORDER BY `carrier` ASC, `flight` ASC, `tailnum` ASC, `origin` ASC, `dest` ASC, `distance` ASC, `sched_dep` ASC, `dep_delay` ASC
    ) AS `_copy`
  FROM TABLE(TUMBLE(TABLE `on_time`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
)
WHERE `_copy` = 1;

-- tiles_carrier_origin_departures
WITH `input` AS (
  SELECT
    `carrier`,
    `origin`,
    `_time_ms`,
    `_time`,
    `dep_delay` AS `_in1`
  FROM `events_departures_300000`
  WHERE `carrier` IS NOT NULL
    AND `origin` IS NOT NULL
),
`base` AS (
  SELECT
    `carrier`,
    `origin`,
    `window_start`,
    `window_end`,
    `window_time`,
    COUNT(*) AS `count`,
    SUM(`_in1`) AS `sum_dep_delay`,
    COUNT(`_in1`) AS `count_dep_delay`,
    MAX(`_in1`) AS `max_dep_delay`
  FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
  GROUP BY `carrier`, `origin`, `window_start`, `window_end`, `window_time`
)
SELECT
  `base`.`carrier` AS `carrier`,
  `base`.`origin` AS `origin`,
  CAST(`base`.`window_start` AS TIMESTAMP_LTZ(3)) AS `tile_start`,
  CAST(0 AS BIGINT) AS `revision`,
  `base`.`count` AS `count`,
  `base`.`sum_dep_delay` AS `sum_dep_delay`,
  `base`.`count_dep_delay` AS `count_dep_delay`,
  `base`.`max_dep_delay` AS `max_dep_delay`,
  `base`.`window_time` AS `_closed`
FROM `base`;

-- closings of carrier_origin_departures
WITH `signs` AS (
  SELECT `_closed` AS `_at`, CAST(1 AS BIGINT) AS `_tiles` FROM `tiles_carrier_origin_departures`
  UNION ALL
  SELECT `_progress` AS `_at`, CAST(0 AS BIGINT) AS `_tiles` FROM `progress_departures_300000`
)
SELECT
  'carrier_origin_departures' AS `view`,
  CAST(`window_end` AS TIMESTAMP_LTZ(3)) AS `tile_end`,
  COALESCE(SUM(`_tiles`), 0) AS `tiles`
FROM TABLE(TUMBLE(TABLE `signs`, DESCRIPTOR(`_at`), INTERVAL '5' MINUTE))
GROUP BY `window_start`, `window_end`;
