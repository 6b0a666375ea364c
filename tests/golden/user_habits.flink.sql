-- events_events_60000
WITH `on_time` AS (
  SELECT `id`, `event_time`, `user`, `shop`, `amount`, `discount`, `items`, `paid`, `colour`, `shipped`, `wild`, `_time_ms`, `_time` FROM `checked_events` WHERE `_kind` = 0 AND NOT COALESCE((`_time_ms` - MOD(MOD(`_time_ms`, 60000) + 60000, 60000)) + 59999 <= `_watermark_ms`, FALSE)
)
SELECT `id`, `event_time`, `user`, `shop`, `amount`, `discount`, `items`, `paid`, `colour`, `shipped`, `wild`, `_time_ms`, `window_time` AS `_time`
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY `window_start`, `window_end`, `id`, `_time_ms`
      ORDER BY `user` ASC, `shop` ASC, `amount` ASC, `discount` ASC, `items` ASC, `paid` ASC, `colour` ASC, `shipped` ASC, `wild` ASC
    ) AS `_copy`
  FROM TABLE(TUMBLE(TABLE `on_time`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
)
WHERE `_copy` = 1;

-- tiles_user_habits
WITH `input` AS (
  SELECT
    `user`,
    `_time_ms`,
    `_time`,
    `amount` AS `_in1`,
    CASE WHEN `paid` THEN `amount` END AS `_in2`,
    `colour` AS `_in3`,
    `id` AS `_in4`,
    REPLACE(REPLACE(`colour`, '\', '\s'), ',', '\c') AS `_in5`,
    MD5(CAST(`shop` AS STRING)) AS `_in6`
  FROM `events_events_60000`
  WHERE `user` IS NOT NULL
),
`base` AS (
  SELECT
    `user`,
    `window_start`,
    `window_end`,
    `window_time`,
    COUNT(*) AS `count`,
    SUM(`_in1`) AS `sum_amount`,
    COUNT(`_in1`) AS `count_amount`,
    SUM(`_in2`) AS `sum_amount_b10b2003`,
    COUNT(`_in2`) AS `count_amount_b10b2003`
  FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
  GROUP BY `user`, `window_start`, `window_end`, `window_time`
),
`last_colour_1b075b56` AS (
  SELECT
    `user`,
    `window_start`,
    `window_end`,
    `_time_ms` AS `last_colour_1b075b56__at`,
    `_in4` AS `last_colour_1b075b56__tie`,
    `_in3` AS `last_colour_1b075b56`
  FROM (
    SELECT
      *,
      ROW_NUMBER() OVER (PARTITION BY `user`, `window_start`, `window_end` ORDER BY `_time_ms` DESC, `_in4` DESC, `_in3` DESC) AS `_rank`
    FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
    WHERE `_in3` IS NOT NULL
  )
  WHERE `_rank` = 1
),
`tally_colour` AS (
  SELECT
    `user`,
    `window_start`,
    `window_end`,
    CASE WHEN SUM(CHAR_LENGTH(`_entry`) + 1) <= 100000 THEN LISTAGG(`_entry`, ',') ELSE '!' END AS `tally_colour`
  FROM (
    SELECT
      `user`,
      `window_start`,
      `window_end`,
      CAST(`_number` AS STRING) || ' ' || `_sub_key` AS `_entry`
    FROM (
      SELECT
        `user`,
        `window_start`,
        `window_end`,
        `_in5` AS `_sub_key`,
        COUNT(*) AS `_number`
      FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
      WHERE `_in5` IS NOT NULL
      GROUP BY `user`, `window_start`, `window_end`, `_in5`
    )
  )
  GROUP BY `user`, `window_start`, `window_end`
),
`registers_shop` AS (
  SELECT
    `user`,
    `window_start`,
    `window_end`,
    CASE WHEN SUM(CHAR_LENGTH(`_entry`) + 1) <= 100000 THEN LISTAGG(`_entry`, ',') ELSE '!' END AS `registers_shop`
  FROM (
    SELECT
      `user`,
      `window_start`,
      `window_end`,
      CAST(`_number` AS STRING) || ' ' || `_sub_key` AS `_entry`
    FROM (
      SELECT
        `user`,
        `window_start`,
        `window_end`,
        SUBSTRING(`_in6`, 1, 3) AS `_sub_key`,
        MAX(52 - 4 * CHAR_LENGTH(TRIM(LEADING '0' FROM SUBSTRING(`_in6`, 4, 13))) + CASE WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in6`, 4, 13)) >= '8' THEN 1 WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in6`, 4, 13)) >= '4' THEN 2 WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in6`, 4, 13)) >= '2' THEN 3 WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in6`, 4, 13)) >= '1' THEN 4 ELSE 1 END) AS `_number`
      FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
      WHERE `_in6` IS NOT NULL
      GROUP BY `user`, `window_start`, `window_end`, SUBSTRING(`_in6`, 1, 3)
    )
  )
  GROUP BY `user`, `window_start`, `window_end`
)
SELECT
  `base`.`user` AS `user`,
  CAST(`base`.`window_start` AS TIMESTAMP_LTZ(3)) AS `tile_start`,
  CAST(0 AS BIGINT) AS `revision`,
  `base`.`count` AS `count`,
  `base`.`sum_amount` AS `sum_amount`,
  `base`.`count_amount` AS `count_amount`,
  `base`.`sum_amount_b10b2003` AS `sum_amount_b10b2003`,
  `base`.`count_amount_b10b2003` AS `count_amount_b10b2003`,
  `last_colour_1b075b56`.`last_colour_1b075b56__at` AS `last_colour_1b075b56__at`,
  `last_colour_1b075b56`.`last_colour_1b075b56__tie` AS `last_colour_1b075b56__tie`,
  `last_colour_1b075b56`.`last_colour_1b075b56` AS `last_colour_1b075b56`,
  `tally_colour`.`tally_colour` AS `tally_colour`,
  `registers_shop`.`registers_shop` AS `registers_shop`,
  `base`.`window_time` AS `_closed`
FROM `base`
LEFT JOIN `last_colour_1b075b56` ON `base`.`user` = `last_colour_1b075b56`.`user` AND `base`.`window_start` = `last_colour_1b075b56`.`window_start` AND `base`.`window_end` = `last_colour_1b075b56`.`window_end`
LEFT JOIN `tally_colour` ON `base`.`user` = `tally_colour`.`user` AND `base`.`window_start` = `tally_colour`.`window_start` AND `base`.`window_end` = `tally_colour`.`window_end`
LEFT JOIN `registers_shop` ON `base`.`user` = `registers_shop`.`user` AND `base`.`window_start` = `registers_shop`.`window_start` AND `base`.`window_end` = `registers_shop`.`window_end`;

-- closings of user_habits
WITH `signs` AS (
  SELECT `_closed` AS `_at`, CAST(1 AS BIGINT) AS `_tiles` FROM `tiles_user_habits`
  UNION ALL
  SELECT `_progress` AS `_at`, CAST(0 AS BIGINT) AS `_tiles` FROM `progress_events_60000`
)
SELECT
  'user_habits' AS `view`,
  CAST(`window_end` AS TIMESTAMP_LTZ(3)) AS `tile_end`,
  COALESCE(SUM(`_tiles`), 0) AS `tiles`
FROM TABLE(TUMBLE(TABLE `signs`, DESCRIPTOR(`_at`), INTERVAL '1' MINUTE))
GROUP BY `window_start`, `window_end`;
