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

-- tiles_every_aggregation
WITH `input` AS (
  SELECT
    `user`,
    `shop`,
    `_time_ms`,
    `_time`,
    `discount` AS `_in1`,
    CASE WHEN `items` >= CAST(10 AS BIGINT) THEN 1 END AS `_in2`,
    `items` AS `_in3`,
    `amount` AS `_in4`,
    CASE WHEN `colour` = CAST('red' AS STRING) THEN `amount` END AS `_in5`,
    CASE WHEN ABS(`amount` / NULLIF(CAST(`items` AS DOUBLE), 0E0)) <= 1.7976931348623157E308 THEN `amount` / NULLIF(CAST(`items` AS DOUBLE), 0E0) END AS `_in6`,
    `colour` AS `_in7`,
    `shipped` AS `_in8`,
    CASE WHEN `paid` THEN CAST(`items` AS DOUBLE) END AS `_in9`,
    CASE WHEN `amount` > 0.0E0 THEN `colour` END AS `_in10`,
    `id` AS `_in11`,
    `paid` AS `_in12`,
    CAST(EXTRACT(HOUR FROM CAST(`shipped` AS TIMESTAMP(3)) + INTERVAL '2000' YEAR(4)) AS BIGINT) AS `_in13`,
    CASE WHEN `paid` THEN 1 END AS `_in14`,
    CASE WHEN `paid` THEN `discount` END AS `_in15`,
    CASE WHEN `amount` > 0.0E0 THEN REPLACE(REPLACE(`colour`, '\', '\s'), ',', '\c') END AS `_in16`,
    REPLACE(REPLACE(`colour`, '\', '\s'), ',', '\c') AS `_in17`,
    CASE WHEN `paid` THEN `amount` END AS `_in18`,
    MD5(`id`) AS `_in19`,
    CASE WHEN `paid` THEN MD5(CAST(`items` AS STRING)) END AS `_in20`,
    CAST(`items` AS DOUBLE) AS `_in21`
  FROM `events_events_60000`
  WHERE `user` IS NOT NULL
    AND `shop` IS NOT NULL
    AND (`paid` OR (`amount` > 100.0E0))
),
`base` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    `window_time`,
    COUNT(*) AS `count`,
    COUNT(`_in1`) AS `count_discount`,
    COUNT(`_in2`) AS `count_3b082ee0`,
    SUM(`_in3`) AS `sum_items`,
    SUM(`_in4`) AS `sum_amount`,
    COUNT(`_in4`) AS `count_amount`,
    SUM(`_in5`) AS `sum_amount_280906af`,
    COUNT(`_in5`) AS `count_amount_280906af`,
    SUM(`_in6`) AS `sum_4363f764`,
    COUNT(`_in6`) AS `count_4363f764`,
    MIN(`_in4`) AS `min_amount`,
    MIN(`_in7`) AS `min_colour`,
    MAX(`_in8`) AS `max_shipped`,
    MAX(`_in3`) AS `max_items`,
    COUNT(`_in4`) AS `moments_amount__n`,
    MIN(`_in4`) AS `moments_amount__pivot`,
    COUNT(`_in9`) AS `moments_items_b10b2003__n`,
    MIN(`_in9`) AS `moments_items_b10b2003__pivot`,
    COUNT(`_in14`) AS `count_b10b2003`,
    COUNT(`_in15`) AS `count_discount_b10b2003`
  FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
  GROUP BY `user`, `shop`, `window_start`, `window_end`, `window_time`
),
`moments` AS (
  SELECT
    `i`.`user` AS `user`,
    `i`.`shop` AS `shop`,
    `i`.`window_start` AS `window_start`,
    `i`.`window_end` AS `window_end`,
    SUM((`i`.`_in4` - `b`.`moments_amount__pivot`)) AS `moments_amount__s1`,
    SUM((`i`.`_in4` - `b`.`moments_amount__pivot`) * (`i`.`_in4` - `b`.`moments_amount__pivot`)) AS `moments_amount__s2`,
    SUM((`i`.`_in9` - `b`.`moments_items_b10b2003__pivot`)) AS `moments_items_b10b2003__s1`,
    SUM((`i`.`_in9` - `b`.`moments_items_b10b2003__pivot`) * (`i`.`_in9` - `b`.`moments_items_b10b2003__pivot`)) AS `moments_items_b10b2003__s2`
  FROM (SELECT * FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))) AS `i`
  INNER JOIN `base` AS `b` ON `i`.`user` = `b`.`user` AND `i`.`shop` = `b`.`shop` AND `i`.`window_start` = `b`.`window_start` AND `i`.`window_end` = `b`.`window_end`
  GROUP BY `i`.`user`, `i`.`shop`, `i`.`window_start`, `i`.`window_end`
),
`first_amount` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    `_time_ms` AS `first_amount__at`,
    `_in4` AS `first_amount`
  FROM (
    SELECT
      *,
      ROW_NUMBER() OVER (PARTITION BY `user`, `shop`, `window_start`, `window_end` ORDER BY `_time_ms` ASC, `_in4` ASC) AS `_rank`
    FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
    WHERE `_in4` IS NOT NULL
  )
  WHERE `_rank` = 1
),
`last_colour_2a7467cc` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    `_time_ms` AS `last_colour_2a7467cc__at`,
    `_in11` AS `last_colour_2a7467cc__tie`,
    `_in10` AS `last_colour_2a7467cc`
  FROM (
    SELECT
      *,
      ROW_NUMBER() OVER (PARTITION BY `user`, `shop`, `window_start`, `window_end` ORDER BY `_time_ms` DESC, `_in11` DESC, `_in10` DESC) AS `_rank`
    FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
    WHERE `_in10` IS NOT NULL
  )
  WHERE `_rank` = 1
),
`last_paid_372127ba` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    `_time_ms` AS `last_paid_372127ba__at`,
    `_in3` AS `last_paid_372127ba__tie`,
    `_in12` AS `last_paid_372127ba`
  FROM (
    SELECT
      *,
      ROW_NUMBER() OVER (PARTITION BY `user`, `shop`, `window_start`, `window_end` ORDER BY `_time_ms` DESC, `_in3` DESC, `_in12` DESC) AS `_rank`
    FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
    WHERE `_in12` IS NOT NULL
  )
  WHERE `_rank` = 1
),
`last_0ca41f06` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    `_time_ms` AS `last_0ca41f06__at`,
    `_in13` AS `last_0ca41f06`
  FROM (
    SELECT
      *,
      ROW_NUMBER() OVER (PARTITION BY `user`, `shop`, `window_start`, `window_end` ORDER BY `_time_ms` DESC, `_in13` DESC) AS `_rank`
    FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
    WHERE `_in13` IS NOT NULL
  )
  WHERE `_rank` = 1
),
`tally_colour_8a8e0b9f` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    CASE WHEN SUM(CHAR_LENGTH(`_entry`) + 1) <= 100000 THEN LISTAGG(`_entry`, ',') ELSE '!' END AS `tally_colour_8a8e0b9f`
  FROM (
    SELECT
      `user`,
      `shop`,
      `window_start`,
      `window_end`,
      CAST(`_number` AS STRING) || ' ' || `_sub_key` AS `_entry`
    FROM (
      SELECT
        `user`,
        `shop`,
        `window_start`,
        `window_end`,
        `_in16` AS `_sub_key`,
        COUNT(*) AS `_number`
      FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
      WHERE `_in16` IS NOT NULL
      GROUP BY `user`, `shop`, `window_start`, `window_end`, `_in16`
    )
  )
  GROUP BY `user`, `shop`, `window_start`, `window_end`
),
`tally_colour` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    CASE WHEN SUM(CHAR_LENGTH(`_entry`) + 1) <= 100000 THEN LISTAGG(`_entry`, ',') ELSE '!' END AS `tally_colour`
  FROM (
    SELECT
      `user`,
      `shop`,
      `window_start`,
      `window_end`,
      CAST(`_number` AS STRING) || ' ' || `_sub_key` AS `_entry`
    FROM (
      SELECT
        `user`,
        `shop`,
        `window_start`,
        `window_end`,
        `_in17` AS `_sub_key`,
        COUNT(*) AS `_number`
      FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
      WHERE `_in17` IS NOT NULL
      GROUP BY `user`, `shop`, `window_start`, `window_end`, `_in17`
    )
  )
  GROUP BY `user`, `shop`, `window_start`, `window_end`
),
`latest_2_amount_b10b2003` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    CASE WHEN SUM(CHAR_LENGTH(`_entry`) + 1) <= 100000 THEN LISTAGG(`_entry`, ',') ELSE '!' END AS `latest_2_amount_b10b2003`
  FROM (
    SELECT
      `user`,
      `shop`,
      `window_start`,
      `window_end`,
      CAST(`_time_ms` AS STRING) || ' ' || REPLACE(REPLACE(CAST(`_in18` AS STRING), '\', '\s'), ',', '\c') AS `_entry`
    FROM (
      SELECT
        *,
        ROW_NUMBER() OVER (PARTITION BY `user`, `shop`, `window_start`, `window_end` ORDER BY `_time_ms` DESC, `_in18` DESC) AS `_rank`
      FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
      WHERE `_in18` IS NOT NULL
    )
    WHERE `_rank` <= 2
  )
  GROUP BY `user`, `shop`, `window_start`, `window_end`
),
`latest_1_colour` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    CASE WHEN SUM(CHAR_LENGTH(`_entry`) + 1) <= 100000 THEN LISTAGG(`_entry`, ',') ELSE '!' END AS `latest_1_colour`
  FROM (
    SELECT
      `user`,
      `shop`,
      `window_start`,
      `window_end`,
      CAST(`_time_ms` AS STRING) || ' ' || REPLACE(REPLACE(`_in7`, '\', '\s'), ',', '\c') AS `_entry`
    FROM (
      SELECT
        *,
        ROW_NUMBER() OVER (PARTITION BY `user`, `shop`, `window_start`, `window_end` ORDER BY `_time_ms` DESC, `_in7` DESC) AS `_rank`
      FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
      WHERE `_in7` IS NOT NULL
    )
    WHERE `_rank` <= 1
  )
  GROUP BY `user`, `shop`, `window_start`, `window_end`
),
`registers_id` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    CASE WHEN SUM(CHAR_LENGTH(`_entry`) + 1) <= 100000 THEN LISTAGG(`_entry`, ',') ELSE '!' END AS `registers_id`
  FROM (
    SELECT
      `user`,
      `shop`,
      `window_start`,
      `window_end`,
      CAST(`_number` AS STRING) || ' ' || `_sub_key` AS `_entry`
    FROM (
      SELECT
        `user`,
        `shop`,
        `window_start`,
        `window_end`,
        SUBSTRING(`_in19`, 1, 3) AS `_sub_key`,
        MAX(52 - 4 * CHAR_LENGTH(TRIM(LEADING '0' FROM SUBSTRING(`_in19`, 4, 13))) + CASE WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in19`, 4, 13)) >= '8' THEN 1 WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in19`, 4, 13)) >= '4' THEN 2 WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in19`, 4, 13)) >= '2' THEN 3 WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in19`, 4, 13)) >= '1' THEN 4 ELSE 1 END) AS `_number`
      FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
      WHERE `_in19` IS NOT NULL
      GROUP BY `user`, `shop`, `window_start`, `window_end`, SUBSTRING(`_in19`, 1, 3)
    )
  )
  GROUP BY `user`, `shop`, `window_start`, `window_end`
),
`registers_items_b10b2003` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    CASE WHEN SUM(CHAR_LENGTH(`_entry`) + 1) <= 100000 THEN LISTAGG(`_entry`, ',') ELSE '!' END AS `registers_items_b10b2003`
  FROM (
    SELECT
      `user`,
      `shop`,
      `window_start`,
      `window_end`,
      CAST(`_number` AS STRING) || ' ' || `_sub_key` AS `_entry`
    FROM (
      SELECT
        `user`,
        `shop`,
        `window_start`,
        `window_end`,
        SUBSTRING(`_in20`, 1, 3) AS `_sub_key`,
        MAX(52 - 4 * CHAR_LENGTH(TRIM(LEADING '0' FROM SUBSTRING(`_in20`, 4, 13))) + CASE WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in20`, 4, 13)) >= '8' THEN 1 WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in20`, 4, 13)) >= '4' THEN 2 WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in20`, 4, 13)) >= '2' THEN 3 WHEN TRIM(LEADING '0' FROM SUBSTRING(`_in20`, 4, 13)) >= '1' THEN 4 ELSE 1 END) AS `_number`
      FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
      WHERE `_in20` IS NOT NULL
      GROUP BY `user`, `shop`, `window_start`, `window_end`, SUBSTRING(`_in20`, 1, 3)
    )
  )
  GROUP BY `user`, `shop`, `window_start`, `window_end`
),
`buckets_64_amount` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    CASE WHEN SUM(CHAR_LENGTH(`_entry`) + 1) <= 100000 THEN LISTAGG(`_entry`, ',') ELSE '!' END AS `buckets_64_amount`
  FROM (
    SELECT
      `user`,
      `shop`,
      `window_start`,
      `window_end`,
      CAST(`_number` AS STRING) || ' ' || `_sub_key` AS `_entry`
    FROM (
      SELECT
        `user`,
        `shop`,
        `window_start`,
        `window_end`,
        CASE WHEN ABS(`_in4`) < 2.2250738585072014E-308 THEN 'z' ELSE CASE WHEN `_in4` > 0E0 THEN 'p' ELSE 'n' END || CAST(LEAST(CAST(FLOOR(LOG2(ABS(`_in4`))) AS INT), 1023) * 64 + CAST(FLOOR((ABS(`_in4`) / POWER(2E0, LEAST(CAST(FLOOR(LOG2(ABS(`_in4`))) AS INT), 1023)) - 1E0) * 64E0) AS INT) AS STRING) END AS `_sub_key`,
        COUNT(*) AS `_number`
      FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
      WHERE `_in4` IS NOT NULL
      GROUP BY `user`, `shop`, `window_start`, `window_end`, CASE WHEN ABS(`_in4`) < 2.2250738585072014E-308 THEN 'z' ELSE CASE WHEN `_in4` > 0E0 THEN 'p' ELSE 'n' END || CAST(LEAST(CAST(FLOOR(LOG2(ABS(`_in4`))) AS INT), 1023) * 64 + CAST(FLOOR((ABS(`_in4`) / POWER(2E0, LEAST(CAST(FLOOR(LOG2(ABS(`_in4`))) AS INT), 1023)) - 1E0) * 64E0) AS INT) AS STRING) END
    )
  )
  GROUP BY `user`, `shop`, `window_start`, `window_end`
),
`buckets_16_items` AS (
  SELECT
    `user`,
    `shop`,
    `window_start`,
    `window_end`,
    CASE WHEN SUM(CHAR_LENGTH(`_entry`) + 1) <= 100000 THEN LISTAGG(`_entry`, ',') ELSE '!' END AS `buckets_16_items`
  FROM (
    SELECT
      `user`,
      `shop`,
      `window_start`,
      `window_end`,
      CAST(`_number` AS STRING) || ' ' || `_sub_key` AS `_entry`
    FROM (
      SELECT
        `user`,
        `shop`,
        `window_start`,
        `window_end`,
        CASE WHEN ABS(`_in21`) < 2.2250738585072014E-308 THEN 'z' ELSE CASE WHEN `_in21` > 0E0 THEN 'p' ELSE 'n' END || CAST(LEAST(CAST(FLOOR(LOG2(ABS(`_in21`))) AS INT), 1023) * 16 + CAST(FLOOR((ABS(`_in21`) / POWER(2E0, LEAST(CAST(FLOOR(LOG2(ABS(`_in21`))) AS INT), 1023)) - 1E0) * 16E0) AS INT) AS STRING) END AS `_sub_key`,
        COUNT(*) AS `_number`
      FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '1' MINUTE))
      WHERE `_in21` IS NOT NULL
      GROUP BY `user`, `shop`, `window_start`, `window_end`, CASE WHEN ABS(`_in21`) < 2.2250738585072014E-308 THEN 'z' ELSE CASE WHEN `_in21` > 0E0 THEN 'p' ELSE 'n' END || CAST(LEAST(CAST(FLOOR(LOG2(ABS(`_in21`))) AS INT), 1023) * 16 + CAST(FLOOR((ABS(`_in21`) / POWER(2E0, LEAST(CAST(FLOOR(LOG2(ABS(`_in21`))) AS INT), 1023)) - 1E0) * 16E0) AS INT) AS STRING) END
    )
  )
  GROUP BY `user`, `shop`, `window_start`, `window_end`
)
SELECT
  `base`.`user` AS `user`,
  `base`.`shop` AS `shop`,
  CAST(`base`.`window_start` AS TIMESTAMP_LTZ(3)) AS `tile_start`,
  CAST(0 AS BIGINT) AS `revision`,
  `base`.`count` AS `count`,
  `base`.`count_discount` AS `count_discount`,
  `base`.`count_3b082ee0` AS `count_3b082ee0`,
  `base`.`sum_items` AS `sum_items`,
  `base`.`sum_amount` AS `sum_amount`,
  `base`.`count_amount` AS `count_amount`,
  `base`.`sum_amount_280906af` AS `sum_amount_280906af`,
  `base`.`count_amount_280906af` AS `count_amount_280906af`,
  `base`.`sum_4363f764` AS `sum_4363f764`,
  `base`.`count_4363f764` AS `count_4363f764`,
  `base`.`min_amount` AS `min_amount`,
  `base`.`min_colour` AS `min_colour`,
  `base`.`max_shipped` AS `max_shipped`,
  `base`.`max_items` AS `max_items`,
  `base`.`moments_amount__n` AS `moments_amount__n`,
  `base`.`moments_amount__pivot` AS `moments_amount__pivot`,
  `moments`.`moments_amount__s1` AS `moments_amount__s1`,
  `moments`.`moments_amount__s2` AS `moments_amount__s2`,
  `base`.`moments_items_b10b2003__n` AS `moments_items_b10b2003__n`,
  `base`.`moments_items_b10b2003__pivot` AS `moments_items_b10b2003__pivot`,
  `moments`.`moments_items_b10b2003__s1` AS `moments_items_b10b2003__s1`,
  `moments`.`moments_items_b10b2003__s2` AS `moments_items_b10b2003__s2`,
  `first_amount`.`first_amount__at` AS `first_amount__at`,
  `first_amount`.`first_amount` AS `first_amount`,
  `last_colour_2a7467cc`.`last_colour_2a7467cc__at` AS `last_colour_2a7467cc__at`,
  `last_colour_2a7467cc`.`last_colour_2a7467cc__tie` AS `last_colour_2a7467cc__tie`,
  `last_colour_2a7467cc`.`last_colour_2a7467cc` AS `last_colour_2a7467cc`,
  `last_paid_372127ba`.`last_paid_372127ba__at` AS `last_paid_372127ba__at`,
  `last_paid_372127ba`.`last_paid_372127ba__tie` AS `last_paid_372127ba__tie`,
  `last_paid_372127ba`.`last_paid_372127ba` AS `last_paid_372127ba`,
  `last_0ca41f06`.`last_0ca41f06__at` AS `last_0ca41f06__at`,
  `last_0ca41f06`.`last_0ca41f06` AS `last_0ca41f06`,
  `base`.`count_b10b2003` AS `count_b10b2003`,
  `base`.`count_discount_b10b2003` AS `count_discount_b10b2003`,
  `tally_colour_8a8e0b9f`.`tally_colour_8a8e0b9f` AS `tally_colour_8a8e0b9f`,
  `tally_colour`.`tally_colour` AS `tally_colour`,
  `latest_2_amount_b10b2003`.`latest_2_amount_b10b2003` AS `latest_2_amount_b10b2003`,
  `latest_1_colour`.`latest_1_colour` AS `latest_1_colour`,
  `registers_id`.`registers_id` AS `registers_id`,
  `registers_items_b10b2003`.`registers_items_b10b2003` AS `registers_items_b10b2003`,
  `buckets_64_amount`.`buckets_64_amount` AS `buckets_64_amount`,
  `buckets_16_items`.`buckets_16_items` AS `buckets_16_items`,
  `base`.`window_time` AS `_closed`
FROM `base`
LEFT JOIN `moments` ON `base`.`user` = `moments`.`user` AND `base`.`shop` = `moments`.`shop` AND `base`.`window_start` = `moments`.`window_start` AND `base`.`window_end` = `moments`.`window_end`
LEFT JOIN `first_amount` ON `base`.`user` = `first_amount`.`user` AND `base`.`shop` = `first_amount`.`shop` AND `base`.`window_start` = `first_amount`.`window_start` AND `base`.`window_end` = `first_amount`.`window_end`
LEFT JOIN `last_colour_2a7467cc` ON `base`.`user` = `last_colour_2a7467cc`.`user` AND `base`.`shop` = `last_colour_2a7467cc`.`shop` AND `base`.`window_start` = `last_colour_2a7467cc`.`window_start` AND `base`.`window_end` = `last_colour_2a7467cc`.`window_end`
LEFT JOIN `last_paid_372127ba` ON `base`.`user` = `last_paid_372127ba`.`user` AND `base`.`shop` = `last_paid_372127ba`.`shop` AND `base`.`window_start` = `last_paid_372127ba`.`window_start` AND `base`.`window_end` = `last_paid_372127ba`.`window_end`
LEFT JOIN `last_0ca41f06` ON `base`.`user` = `last_0ca41f06`.`user` AND `base`.`shop` = `last_0ca41f06`.`shop` AND `base`.`window_start` = `last_0ca41f06`.`window_start` AND `base`.`window_end` = `last_0ca41f06`.`window_end`
LEFT JOIN `tally_colour_8a8e0b9f` ON `base`.`user` = `tally_colour_8a8e0b9f`.`user` AND `base`.`shop` = `tally_colour_8a8e0b9f`.`shop` AND `base`.`window_start` = `tally_colour_8a8e0b9f`.`window_start` AND `base`.`window_end` = `tally_colour_8a8e0b9f`.`window_end`
LEFT JOIN `tally_colour` ON `base`.`user` = `tally_colour`.`user` AND `base`.`shop` = `tally_colour`.`shop` AND `base`.`window_start` = `tally_colour`.`window_start` AND `base`.`window_end` = `tally_colour`.`window_end`
LEFT JOIN `latest_2_amount_b10b2003` ON `base`.`user` = `latest_2_amount_b10b2003`.`user` AND `base`.`shop` = `latest_2_amount_b10b2003`.`shop` AND `base`.`window_start` = `latest_2_amount_b10b2003`.`window_start` AND `base`.`window_end` = `latest_2_amount_b10b2003`.`window_end`
LEFT JOIN `latest_1_colour` ON `base`.`user` = `latest_1_colour`.`user` AND `base`.`shop` = `latest_1_colour`.`shop` AND `base`.`window_start` = `latest_1_colour`.`window_start` AND `base`.`window_end` = `latest_1_colour`.`window_end`
LEFT JOIN `registers_id` ON `base`.`user` = `registers_id`.`user` AND `base`.`shop` = `registers_id`.`shop` AND `base`.`window_start` = `registers_id`.`window_start` AND `base`.`window_end` = `registers_id`.`window_end`
LEFT JOIN `registers_items_b10b2003` ON `base`.`user` = `registers_items_b10b2003`.`user` AND `base`.`shop` = `registers_items_b10b2003`.`shop` AND `base`.`window_start` = `registers_items_b10b2003`.`window_start` AND `base`.`window_end` = `registers_items_b10b2003`.`window_end`
LEFT JOIN `buckets_64_amount` ON `base`.`user` = `buckets_64_amount`.`user` AND `base`.`shop` = `buckets_64_amount`.`shop` AND `base`.`window_start` = `buckets_64_amount`.`window_start` AND `base`.`window_end` = `buckets_64_amount`.`window_end`
LEFT JOIN `buckets_16_items` ON `base`.`user` = `buckets_16_items`.`user` AND `base`.`shop` = `buckets_16_items`.`shop` AND `base`.`window_start` = `buckets_16_items`.`window_start` AND `base`.`window_end` = `buckets_16_items`.`window_end`;

-- closings of every_aggregation
WITH `signs` AS (
  SELECT `_closed` AS `_at`, CAST(1 AS BIGINT) AS `_tiles` FROM `tiles_every_aggregation`
  UNION ALL
  SELECT `_progress` AS `_at`, CAST(0 AS BIGINT) AS `_tiles` FROM `progress_events_60000`
)
SELECT
  'every_aggregation' AS `view`,
  CAST(`window_end` AS TIMESTAMP_LTZ(3)) AS `tile_end`,
  COALESCE(SUM(`_tiles`), 0) AS `tiles`
FROM TABLE(TUMBLE(TABLE `signs`, DESCRIPTOR(`_at`), INTERVAL '1' MINUTE))
GROUP BY `window_start`, `window_end`;
