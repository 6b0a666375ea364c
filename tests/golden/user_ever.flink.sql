-- events_events_300000
WITH `on_time` AS (
  SELECT `id`, `event_time`, `user`, `shop`, `amount`, `discount`, `items`, `paid`, `colour`, `shipped`, `wild`, `_time_ms`, `_time` FROM `checked_events` WHERE `_kind` = 0 AND NOT COALESCE((`_time_ms` - MOD(MOD(`_time_ms`, 300000) + 300000, 300000)) + 299999 <= `_watermark_ms`, FALSE)
)
SELECT `id`, `event_time`, `user`, `shop`, `amount`, `discount`, `items`, `paid`, `colour`, `shipped`, `wild`, `_time_ms`, `window_time` AS `_time`
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY `window_start`, `window_end`, `id`, `_time_ms`
      ORDER BY `user` ASC, `shop` ASC, `amount` ASC, `discount` ASC, `items` ASC, `paid` ASC, `colour` ASC, `shipped` ASC, `wild` ASC
    ) AS `_copy`
  FROM TABLE(TUMBLE(TABLE `on_time`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
)
WHERE `_copy` = 1;

-- tiles_user_ever
WITH `input` AS (
  SELECT
    `user`,
    `_time_ms`,
    `_time`,
    CASE WHEN `paid` THEN `amount` END AS `_in1`,
    `amount` AS `_in2`,
    REPLACE(REPLACE(`colour`, '\', '\s'), ',', '\c') AS `_in3`,
    MD5(CAST(`shop` AS STRING)) AS `_in4`
  FROM `events_events_300000`
  WHERE `user` IS NOT NULL
),
`base` AS (
  SELECT
    `user`,
    `window_start`,
    `window_end`,
    `window_time`,
    COUNT(*) AS `count`,
    SUM(`_in1`) AS `sum_amount_b10b2003`,
    COUNT(`_in1`) AS `count_amount_b10b2003`,
    MAX(`_in2`) AS `max_amount`,
    COUNT(`_in2`) AS `moments_amount__n`,
    MIN(`_in2`) AS `moments_amount__pivot`
  FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
  GROUP BY `user`, `window_start`, `window_end`, `window_time`
),
`moments` AS (
  SELECT
    `i`.`user` AS `user`,
    `i`.`window_start` AS `window_start`,
    `i`.`window_end` AS `window_end`,
    SUM((`i`.`_in2` - `b`.`moments_amount__pivot`)) AS `moments_amount__s1`,
    SUM((`i`.`_in2` - `b`.`moments_amount__pivot`) * (`i`.`_in2` - `b`.`moments_amount__pivot`)) AS `moments_amount__s2`
  FROM (SELECT * FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))) AS `i`
  INNER JOIN `base` AS `b` ON `i`.`user` = `b`.`user` AND `i`.`window_start` = `b`.`window_start` AND `i`.`window_end` = `b`.`window_end`
  GROUP BY `i`.`user`, `i`.`window_start`, `i`.`window_end`
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
        `_in3` AS `_sub_key`,
        COUNT(*) AS `_number`
      FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
      WHERE `_in3` IS NOT NULL
      GROUP BY `user`, `window_start`, `window_end`, `_in3`
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
        SUBSTRING(`_in4`, 1, 3) AS `_sub_key`,
        MAX(52 - 4 * CHAR_LENGTH(TRIM(LEADING '0' FROM SUBSTRING(`_in4`, 4, 13))) + CASE WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in4`, 4, 13)) >= '8' THEN 1 WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in4`, 4, 13)) >= '4' THEN 2 WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in4`, 4, 13)) >= '2' THEN 3 WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in4`, 4, 13)) >= '1' THEN 4 ELSE 1 END) AS `_number`
      FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
      WHERE `_in4` IS NOT NULL
      GROUP BY `user`, `window_start`, `window_end`, SUBSTRING(`_in4`, 1, 3)
    )
  )
  GROUP BY `user`, `window_start`, `window_end`
)
SELECT
  `base`.`user` AS `user`,
  CAST(`base`.`window_start` AS TIMESTAMP_LTZ(3)) AS `tile_start`,
  CAST(0 AS BIGINT) AS `revision`,
  `base`.`count` AS `count`,
  `base`.`sum_amount_b10b2003` AS `sum_amount_b10b2003`,
  `base`.`count_amount_b10b2003` AS `count_amount_b10b2003`,
  `base`.`max_amount` AS `max_amount`,
  `base`.`moments_amount__n` AS `moments_amount__n`,
  `base`.`moments_amount__pivot` AS `moments_amount__pivot`,
  `moments`.`moments_amount__s1` AS `moments_amount__s1`,
  `moments`.`moments_amount__s2` AS `moments_amount__s2`,
  `tally_colour`.`tally_colour` AS `tally_colour`,
  `registers_shop`.`registers_shop` AS `registers_shop`,
  `base`.`window_time` AS `_closed`
FROM `base`
LEFT JOIN `moments` ON `base`.`user` = `moments`.`user` AND `base`.`window_start` = `moments`.`window_start` AND `base`.`window_end` = `moments`.`window_end`
LEFT JOIN `tally_colour` ON `base`.`user` = `tally_colour`.`user` AND `base`.`window_start` = `tally_colour`.`window_start` AND `base`.`window_end` = `tally_colour`.`window_end`
LEFT JOIN `registers_shop` ON `base`.`user` = `registers_shop`.`user` AND `base`.`window_start` = `registers_shop`.`window_start` AND `base`.`window_end` = `registers_shop`.`window_end`;

-- closings of user_ever
WITH `signs` AS (
  SELECT `_closed` AS `_at`, CAST(1 AS BIGINT) AS `_tiles` FROM `tiles_user_ever`
  UNION ALL
  SELECT `_progress` AS `_at`, CAST(0 AS BIGINT) AS `_tiles` FROM `progress_events_300000`
)
SELECT
  'user_ever' AS `view`,
  CAST(`window_end` AS TIMESTAMP_LTZ(3)) AS `tile_end`,
  COALESCE(SUM(`_tiles`), 0) AS `tiles`
FROM TABLE(TUMBLE(TABLE `signs`, DESCRIPTOR(`_at`), INTERVAL '5' MINUTE))
GROUP BY `window_start`, `window_end`;
