/* The replay for one type: REAL, with NAME(_step) for alrc_f32_step or alrc_f64_step; defines REPLAY. */

static void REPLAY(FILE *trace, FILE *results, const parameter *parameters, size_t count) {
    static batch batch;
    static REAL losses[MAX_BATCH], clipped[MAX_BATCH], scales[MAX_BATCH];
    NAME(_config) config;
    NAME() whole, parts, single;
    batch.has_row = 0;

    check(NAME(_config_default)(&config));
    for (size_t i = 0; i < count; i++) {
        const char *name = parameters[i].name;
        double value = parameters[i].value;
        if (!strcmp(name, "num_stddev")) config.num_stddev = (REAL)value;
        if (!strcmp(name, "num_stddev_below")) config.num_stddev_below = (REAL)value;
        if (!strcmp(name, "decay")) config.decay1 = config.decay2 = (REAL)value;
        if (!strcmp(name, "decay2")) config.decay2 = (REAL)value;
        if (!strcmp(name, "mu1_start")) config.mu1_start = (REAL)value;
        if (!strcmp(name, "mu2_start")) config.mu2_start = (REAL)value;
        if (!strcmp(name, "warm_up_steps")) config.warm_up_steps = (uint32_t)value;
        if (!strcmp(name, "scaling")) config.scaling = (uint32_t)value;
        if (!strcmp(name, "non_finite")) config.non_finite = (uint32_t)value;
    }
    check(NAME(_init)(&whole, &config));
    check(NAME(_init)(&parts, &config));
    check(NAME(_init)(&single, &config));

    while (read_batch(trace, &batch)) {
        REAL moments[2], result[2];
        size_t len = batch.len, half = batch.len / 2;
        NAME(_report) report;
        NAME(_limits) limits;
        NAME(_sums) sums, rest;
        uint8_t bytes[ALRC_SNAPSHOT_LEN];
        for (size_t i = 0; i < len; i++) {
            losses[i] = (REAL)batch.losses[i];
        }

        /* The whole batch in one call. */
        check(NAME(_step_batch)(&whole, losses, clipped, scales, len, &report));
        fwrite(clipped, sizeof(REAL), len, results);
        fwrite(scales, sizeof(REAL), len, results);
        fwrite(&report.clipped, sizeof report.clipped, 1, results);
        fwrite(&report.non_finite, sizeof report.non_finite, 1, results);
        fwrite(&report.largest_excess, sizeof(REAL), 1, results);
        fwrite(&report.limit, sizeof(REAL), 1, results);
        fwrite(&report.updated, sizeof report.updated, 1, results);
        check(NAME(_moments)(&whole, &moments[0], &moments[1]));
        fwrite(moments, sizeof(REAL), 2, results);

        /* In two parts, the second in place, in a state that is saved and loaded between steps. */
        check(NAME(_limits)(&parts, &limits));
        check(NAME(_clip)(&limits, losses, clipped, scales, half, &sums));
        memcpy(clipped + half, losses + half, (len - half) * sizeof(REAL));
        check(NAME(_clip)(&limits, clipped + half, clipped + half, scales + half, len - half, &rest));
        check(NAME(_sums_merge)(&sums, &rest));
        check(NAME(_update)(&parts, &sums));
        check(NAME(_save)(&parts, bytes, sizeof bytes));
        memset(&parts, 0xff, sizeof parts);
        check(NAME(_load)(&parts, bytes, sizeof bytes));
        fwrite(clipped, sizeof(REAL), len, results);
        fwrite(scales, sizeof(REAL), len, results);
        fwrite(bytes, 1, sizeof bytes, results);

        /* One loss after the other. */
        for (size_t i = 0; i < len; i++) {
            check(NAME(_step)(&single, losses[i], &result[0], &result[1]));
            fwrite(result, sizeof(REAL), 2, results);
        }
        check(NAME(_save)(&single, bytes, sizeof bytes));
        fwrite(bytes, 1, sizeof bytes, results);
    }
}
