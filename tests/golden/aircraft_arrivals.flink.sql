-- events_arrivals_300000
WITH `on_time` AS (
  SELECT `flight_id`, `event_time`, `carrier`, `tailnum`, `origin`, `dest`, `arr_delay`, `_time_ms`, `_time` FROM `checked_arrivals` WHERE `_kind` = 0 AND NOT COALESCE((`_time_ms` - MOD(MOD(`_time_ms`, 300000) + 300000, 300000)) + 299999 <= `_watermark_ms`, FALSE)
)
SELECT `flight_id`, `event_time`, `carrier`, `tailnum`, `origin`, `dest`, `arr_delay`, `_time_ms`, `window_time` AS `_time`
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY `window_start`, `window_end`, `flight_id`, `_time_ms`
      ORDER BY `carrier` ASC, `tailnum` ASC, `origin` ASC, `dest` ASC, `arr_delay` ASC
    ) AS `_copy`
  FROM TABLE(TUMBLE(TABLE `on_time`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
)
WHERE `_copy` = 1;

-- tiles_aircraft_arrivals
WITH `input` AS (
  SELECT
    `tailnum`,
    `_time_ms`,
    `_time`,
    `arr_delay` AS `_in1`
  FROM `events_arrivals_300000`
  WHERE `tailnum` IS NOT NULL
),
`base` AS (
  SELECT
    `tailnum`,
    `window_start`,
    `window_end`,
    `window_time`,
    COUNT(*) AS `count`,
    SUM(`_in1`) AS `sum_arr_delay`,
    COUNT(`_in1`) AS `count_arr_delay`,
    MIN(`_in1`) AS `min_arr_delay`
  FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
  GROUP BY `tailnum`, `window_start`, `window_end`, `window_time`
),
`last_arr_delay` AS (
  SELECT
    `tailnum`,
    `window_start`,
    `window_end`,
    `_time_ms` AS `last_arr_delay__at`,
    `_in1` AS `last_arr_delay`
  FROM (
    SELECT
      *,
      ROW_NUMBER() OVER (PARTITION BY `tailnum`, `window_start`, `window_end` ORDER BY `_time_ms` DESC, `_in1` DESC) AS `_rank`
    FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
    WHERE `_in1` IS NOT NULL
  )
  WHERE `_rank` = 1
)
SELECT
  `base`.`tailnum` AS `tailnum`,
  CAST(`base`.`window_start` AS TIMESTAMP_LTZ(3)) AS `tile_start`,
  CAST(0 AS BIGINT) AS `revision`,
  `base`.`count` AS `count`,
  `last_arr_delay`.`last_arr_delay__at` AS `last_arr_delay__at`,
  `last_arr_delay`.`last_arr_delay` AS `last_arr_delay`,
  `base`.`sum_arr_delay` AS `sum_arr_delay`,
  `base`.`count_arr_delay` AS `count_arr_delay`,
  `base`.`min_arr_delay` AS `min_arr_delay`,
  `base`.`window_time` AS `_closed`
FROM `base`
LEFT JOIN `last_arr_delay` ON `base`.`tailnum` = `last_arr_delay`.`tailnum` AND `base`.`window_start` = `last_arr_delay`.`window_start` AND `base`.`window_end` = `last_arr_delay`.`window_end`;

-- closings of aircraft_arrivals
WITH `signs` AS (
  SELECT `_closed` AS `_at`, CAST(1 AS BIGINT) AS `_tiles` FROM `tiles_aircraft_arrivals`
  UNION ALL
  SELECT `_progress` AS `_at`, CAST(0 AS BIGINT) AS `_tiles` FROM `progress_arrivals_300000`
)
SELECT
  'aircraft_arrivals' AS `view`,
  CAST(`window_end` AS TIMESTAMP_LTZ(3)) AS `tile_end`,
  COALESCE(SUM(`_tiles`), 0) AS `tiles`
FROM TABLE(TUMBLE(TABLE `signs`, DESCRIPTOR(`_at`), INTERVAL '5' MINUTE))
GROUP BY `window_start`, `window_end`;
