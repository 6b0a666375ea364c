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

-- tiles_origin_departures
WITH `input` AS (
  SELECT
    `origin`,
    `_time_ms`,
    `_time`,
    CASE WHEN `dep_delay` > 15.0E0 THEN 1 END AS `_in1`,
    `dep_delay` AS `_in2`
  FROM `events_departures_300000`
  WHERE `origin` IS NOT NULL
),
`base` AS (
  SELECT
    `origin`,
    `window_start`,
    `window_end`,
    `window_time`,
    COUNT(*) AS `count`,
    COUNT(`_in1`) AS `count_64f74b0a`,
    SUM(`_in2`) AS `sum_dep_delay`,
    COUNT(`_in2`) AS `count_dep_delay`,
    COUNT(`_in2`) AS `moments_dep_delay__n`,
    MIN(`_in2`) AS `moments_dep_delay__pivot`,
    MAX(`_in2`) AS `max_dep_delay`
  FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
  GROUP BY `origin`, `window_start`, `window_end`, `window_time`
),
`moments` AS (
  SELECT
    `i`.`origin` AS `origin`,
    `i`.`window_start` AS `window_start`,
    `i`.`window_end` AS `window_end`,
    SUM((`i`.`_in2` - `b`.`moments_dep_delay__pivot`)) AS `moments_dep_delay__s1`,
    SUM((`i`.`_in2` - `b`.`moments_dep_delay__pivot`) * (`i`.`_in2` - `b`.`moments_dep_delay__pivot`)) AS `moments_dep_delay__s2`
  FROM (SELECT * FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))) AS `i`
  INNER JOIN `base` AS `b` ON `i`.`origin` = `b`.`origin` AND `i`.`window_start` = `b`.`window_start` AND `i`.`window_end` = `b`.`window_end`
  GROUP BY `i`.`origin`, `i`.`window_start`, `i`.`window_end`
)
SELECT
  `base`.`origin` AS `origin`,
  CAST(`base`.`window_start` AS TIMESTAMP_LTZ(3)) AS `tile_start`,
  CAST(0 AS BIGINT) AS `revision`,
  `base`.`count` AS `count`,
  `base`.`count_64f74b0a` AS `count_64f74b0a`,
  `base`.`sum_dep_delay` AS `sum_dep_delay`,
  `base`.`count_dep_delay` AS `count_dep_delay`,
  `base`.`moments_dep_delay__n` AS `moments_dep_delay__n`,
  `base`.`moments_dep_delay__pivot` AS `moments_dep_delay__pivot`,
  `moments`.`moments_dep_delay__s1` AS `moments_dep_delay__s1`,
  `moments`.`moments_dep_delay__s2` AS `moments_dep_delay__s2`,
  `base`.`max_dep_delay` AS `max_dep_delay`,
  `base`.`window_time` AS `_closed`
FROM `base`
LEFT JOIN `moments` ON `base`.`origin` = `moments`.`origin` AND `base`.`window_start` = `moments`.`window_start` AND `base`.`window_end` = `moments`.`window_end`;

-- closings of origin_departures
WITH `signs` AS (
  SELECT `_closed` AS `_at`, CAST(1 AS BIGINT) AS `_tiles` FROM `tiles_origin_departures`
  UNION ALL
  SELECT `_progress` AS `_at`, CAST(0 AS BIGINT) AS `_tiles` FROM `progress_departures_300000`
)
SELECT
  'origin_departures' AS `view`,
  CAST(`window_end` AS TIMESTAMP_LTZ(3)) AS `tile_end`,
  COALESCE(SUM(`_tiles`), 0) AS `tiles`
FROM TABLE(TUMBLE(TABLE `signs`, DESCRIPTOR(`_at`), INTERVAL '5' MINUTE))
GROUP BY `window_start`, `window_end`;
